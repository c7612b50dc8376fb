"""H-SSL: one forward pass, two fiber bundles of the same features (equation 3)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from hssl.backbones import Backbone
from hssl.groups import BaseSpace, Distance, Streams
from hssl.views.placements import PlacementPairs, Which, which_streams
from hssl.views.settings import FiberViewsSettings, ViewsSettings
from hssl.views.views import Bundles, Encode, Pairs, Views, base_space, check_moves, encoded


class FiberViews(Views):
    """z(g1^-1 . g0) and z(g2^-1 . g0), with z = f(x) computed once.

    Args:
        base: g0 and its placements; each branch draws one, 'independently for each example and for each branch'.
        max_distance: largest distance between the two, None for any (figure 2, right).
        distance: how it is measured.
        streams: `sampled` computes only the fibers that the pairs read, about a third of six; the encoder is then
            called with the `Streams` too. BatchNorm sees a sample of what it would see of `all`.
    """

    Settings: ClassVar[type[ViewsSettings]] = FiberViewsSettings

    def __init__(
        self,
        base: BaseSpace,
        max_distance: float | None = None,
        distance: Distance = "euclidean",
        streams: Which = "all",
    ) -> None:
        super().__init__(base)
        self.which = streams
        self._placements = PlacementPairs(base, max_distance, distance, streams)

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        image_size: int,
        *,
        base_size: tuple[int, ...] | int,
        joint: bool,
        max_distance: float | None,
        distance: Distance,
        streams: Which,
    ) -> FiberViews:
        """The views of a network's features; raises ConfigurationError where g0 cannot move."""
        base = base_space(backbone, base_size, joint)
        check_moves(
            base, max_distance, distance, "every positive pair would be the same vector twice, and nothing be learned"
        )
        return cls(base, max_distance, distance, which_streams(backbone, base, streams))

    def draw(self, batch_size: int, generator: torch.Generator) -> Pairs:
        """Two placements of g0 an example."""
        return self.with_streams(Pairs(*self._placements.draw(batch_size, generator)))

    def with_streams(self, pairs: Pairs) -> Pairs:
        if self.which == "all":
            return pairs
        # One feature map an example holds both views.
        both = torch.cat([pairs.positions_1, pairs.positions_2], dim=1)
        return dataclasses.replace(pairs, streams=Streams.of(both, self.base.group.order))

    def forward(self, images: Tensor, encode: Encode, pairs: Pairs) -> Bundles:
        """Images [B, C, H, W] -> bundles [B, |g0|*C]."""
        features = encoded(encode, images, pairs)
        z = self.read(features)
        return Bundles(z.at(pairs.positions_1), z.at(pairs.positions_2), features)
