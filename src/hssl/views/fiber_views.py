"""H-SSL: one forward pass, two fiber bundles of the same features (equation 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from hssl.groups import BaseSpace, Distance
from hssl.views.pairs import Encode, Pairs, PlacementPairs


class FiberViews:
    """z(g1^-1 . g0) and z(g2^-1 . g0), with z = f(x) computed once.

    Args:
        base: g0 and its placements; each branch draws one, 'independently for each example and for each branch'.
        max_distance: largest distance between the two, None for any (figure 2, right).
        distance: how it is measured.
    """

    def __init__(self, base: BaseSpace, max_distance: float | None = None, distance: Distance = "euclidean") -> None:
        self.base = base
        self._placements = PlacementPairs(base, max_distance, distance)

    def draw(self, batch_size: int, generator: torch.Generator) -> Pairs:
        """Two placements of g0 an example."""
        return Pairs(*self._placements.draw(batch_size, generator))

    def apply(self, images: Tensor, encode: Encode, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] -> bundles [B, |g0|*C]."""
        features = encode(images)
        return features.at(pairs.positions_1), features.at(pairs.positions_2)
