"""The contract of a method: what a step learns from images, labels and positive pairs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from hssl.backbones import Backbone
from hssl.groups import GroupFeatures
from hssl.methods.settings import MethodSettings
from hssl.views import Pairs, Views


@dataclass(frozen=True)
class Step:
    """What a method made of one batch.

    Attributes:
        loss: what is left to backpropagate, a scalar; None where everything has been.
        features: of the images as they are or of their first views, for a readout that is trained alongside; None
            where there are no whole features.
        logs: scalars by name, averaged over an epoch; `loss` stands for the whole.
    """

    loss: Tensor | None
    features: GroupFeatures | None
    logs: Mapping[str, Tensor] = field(default_factory=dict)


class Method(nn.Module, ABC):
    """Learns in steps. It owns its heads and whatever else it needs: a predictor, a teacher's copy, its settings.

    Called as `Method(backbone, views, classes, **fields of its Settings)`. Parameters that require a gradient go to the
    optimizer; a teacher's copy should not.

    Args:
        backbone: f.
        views: where its pairs come from; None for a method that takes none (`Settings.takes_pairs`).
        classes: of the labels; None without labels.

    Attributes:
        readout: the one that the method trains itself, through the network; None where it trains none.
    """

    Settings: ClassVar[type[MethodSettings]] = MethodSettings

    def __init__(self, backbone: Backbone, views: Views | None, classes: int | None) -> None:
        super().__init__()
        self.backbone, self.views, self.classes = backbone, views, classes
        self.readout: nn.Module | None = None

    @abstractmethod
    def step(
        self, images: Tensor, labels: Tensor | None, pairs: Pairs | None, backward: Callable[[Tensor], None]
    ) -> Step:
        """One rank's part of a batch.

        Args:
            images: [B, C, H, W].
            labels: int64 [B], None without labels.
            pairs: of these images; None for a method that takes none.
            backward: backpropagates a part at once, for modules that are isolated from each other. Scaling,
                accumulation and other processes are its business. No parameter may get gradients from two parts.
        """

    def after_step(self, progress: float) -> None:
        """Called after each step of the optimizer with the share of training that is done: a teacher moves here."""
