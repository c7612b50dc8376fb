"""Hybrid: transformed images and moved base spaces at once (appendix A, the 'hybrid' models)."""

from __future__ import annotations

import torch

from hssl.groups import Augmentation, BaseSpace, Distance, Group
from hssl.views.input_views import InputViews
from hssl.views.pairs import Pairs, PlacementPairs, Which


class HybridViews(InputViews):
    """f(T_g1 x) read at one base space and f(T_g2 x) at another, drawn independently.

    Args:
        group, base, image_size, augmentation: as in `InputViews`.
        max_distance, distance, streams: as in `FiberViews`.
    """

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

    def draw(self, batch_size: int, generator: torch.Generator) -> Pairs:
        """Independent transformations and independent base spaces."""
        first, second = self._placements.draw(batch_size, generator)
        return self.with_streams(Pairs(first, second, *self._draw_transformations(batch_size, generator)))
