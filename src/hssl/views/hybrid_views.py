"""Hybrid: transformed images and moved base spaces at once (appendix A, the 'hybrid' models)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from hssl.backbones import Backbone
from hssl.groups import Augmentation, BaseSpace, Distance, Group
from hssl.views.input_views import InputViews
from hssl.views.placements import PlacementPairs, Which, which_streams
from hssl.views.settings import HybridViewsSettings, ViewsSettings
from hssl.views.views import Pairs, base_space, check_moves


class HybridViews(InputViews):
    """f(T_g1 x) read at one base space and f(T_g2 x) at another, drawn independently.

    Args:
        group, base, image_size, augmentation: as in `InputViews`.
        max_distance, distance, streams: as in `FiberViews`.
    """

    Settings: ClassVar[type[ViewsSettings]] = HybridViewsSettings

    def __init__(
        self,
        group: Group,
        base: BaseSpace,
        image_size: int,
        augmentation: Augmentation | None = None,
        max_distance: float | None = None,
        distance: Distance = "euclidean",
        streams: Which = "all",
    ) -> None:
        super().__init__(group, base, image_size, augmentation, streams)
        self._placements = PlacementPairs(base, max_distance, distance, streams)

    @classmethod
    def of(  # type: ignore[override]
        cls,
        backbone: Backbone,
        image_size: int,
        *,
        base_size: tuple[int, ...] | int,
        joint: bool,
        max_distance: float | None,
        distance: Distance,
        translation_strength: float,
        smallest_scale: float,
        scale_draw: Literal["continuous", "discrete"],
        streams: Which,
    ) -> HybridViews:
        """As `InputViews.of` and `FiberViews.of`."""
        base = base_space(backbone, base_size, joint)
        check_moves(base, max_distance, distance, "the views would be those of a-ssl")
        augmentation = Augmentation(translation_strength, smallest_scale, scale_draw)
        which = which_streams(backbone, base, streams)
        return cls(backbone.group, base, image_size, augmentation, max_distance, distance, which)

    def draw(self, batch_size: int, generator: torch.Generator) -> Pairs:
        """Independent transformations and independent base spaces."""
        first, second = self._placements.draw(batch_size, generator)
        return self.with_streams(Pairs(first, second, *self._draw_transformations(batch_size, generator)))
