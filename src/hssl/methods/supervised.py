"""Supervised training: labels train the network through its readout (the last column of tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from hssl.backbones import Backbone
from hssl.errors import DataError
from hssl.heads import as_maps
from hssl.methods.method import Method, Step
from hssl.methods.settings import MethodSettings, SupervisedSettings
from hssl.views import Pairs, Views


class Supervised(Method):
    """Cross-entropy of the paper's readout, through the whole network."""

    Settings: ClassVar[type[MethodSettings]] = SupervisedSettings

    def __init__(self, backbone: Backbone, views: Views | None, classes: int | None) -> None:
        super().__init__(backbone, views, classes)
        if classes is None:
            raise DataError("supervised training needs labels, and these images have none")
        self.readout = backbone.build_readout(classes)

    def step(
        self, images: Tensor, labels: Tensor | None, pairs: Pairs | None, backward: Callable[[Tensor], None]
    ) -> Step:
        assert self.readout is not None
        assert labels is not None
        logits = self.readout(as_maps(self.backbone(images)))
        accuracy = 100 * (logits.detach().argmax(1) == labels).float().mean()
        return Step(functional.cross_entropy(logits.float(), labels), None, {"accuracy": accuracy})
