"""Random weights, read as all others are: what a method has to beat (the 'frozen' column of tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Self

from torch import Tensor

from hssl.backbones import Backbone
from hssl.methods.method import Method, Step
from hssl.methods.settings import FrozenSettings, MethodSettings
from hssl.views import Pairs, Views


class Frozen(Method):
    """Nothing is learned; a readout alongside is trained on the features."""

    Settings: ClassVar[type[MethodSettings]] = FrozenSettings

    def __init__(self, backbone: Backbone, views: Views | None, classes: int | None) -> None:
        super().__init__(backbone, views, classes)
        backbone.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """BatchNorm must not drift while a readout is trained: the network stays in eval mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def step(
        self, images: Tensor, labels: Tensor | None, pairs: Pairs | None, backward: Callable[[Tensor], None]
    ) -> Step:
        return Step(None, self.backbone(images))
