"""H-SSL: one forward pass, two fiber bundles of the same features (equation 3)."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from hssl.groups import BaseSpace, Distance, Streams
from hssl.views.pairs import Encode, Pairs, PlacementPairs, Which, call


class FiberViews:
    """z(g1^-1 . g0) and z(g2^-1 . g0), with z = f(x) computed once.

    Args:
        base: g0 and its placements; each branch draws one, 'independently for each example and for each branch'.
        max_distance: largest distance between the two, None for any (figure 2, right).
        distance: how it is measured.
        streams: `sampled` computes only the fibers that the pairs read, about a third of six; the encoder is then
            called with the `Streams` too. BatchNorm sees a sample of what it would see of `all`.
    """

    def __init__(
        self,
        base: BaseSpace,
        max_distance: float | None = None,
        distance: Distance = "euclidean",
        streams: Which = "all",
    ) -> None:
        self.base, self.which = base, streams
        self._placements = PlacementPairs(base, max_distance, distance, streams)

    def draw(self, batch_size: int, generator: torch.Generator) -> Pairs:
        """Two placements of g0 an example."""
        return self.with_streams(Pairs(*self._placements.draw(batch_size, generator)))

    def with_streams(self, pairs: Pairs) -> Pairs:
        """The pairs with the streams that they read, where those are sampled."""
        if self.which == "all":
            return pairs
        # One feature map an example holds both views.
        both = torch.cat([pairs.positions_1, pairs.positions_2], dim=1)
        return dataclasses.replace(pairs, streams=Streams.of(both, self.base.group.order))

    def apply(self, images: Tensor, encode: Encode, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] -> bundles [B, |g0|*C]."""
        features = call(encode, images, pairs.streams, self.base)
        return features.at(pairs.positions_1), features.at(pairs.positions_2)
