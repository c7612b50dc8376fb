"""A positive pair: how each view's image is transformed, and where its features are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hssl.groups import BaseSpace, Distance, GroupFeatures

Encode = Callable[[Tensor], GroupFeatures]


@dataclass(frozen=True)
class Pairs:
    """(g1, g2, g0) of a batch, resolved to what a view needs.

    Attributes:
        positions_1, positions_2: int64 [B, |g0|]: where the features of the first and second view are read.
        parameters_1, parameters_2: float64 [B, P]: the image transformation of each view; None leaves the image alone.
    """

    positions_1: Tensor
    positions_2: Tensor
    parameters_1: Tensor | None = None
    parameters_2: Tensor | None = None

    def part(self, rows: slice, device: torch.device) -> Pairs:
        """The pairs of some of the examples, on a device."""

        def cut(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[rows].to(device)

        return Pairs(
            self.positions_1[rows].to(device),
            self.positions_2[rows].to(device),
            cut(self.parameters_1),
            cut(self.parameters_2),
        )


class Views(Protocol):
    """Where positive pairs come from. `draw` is random, `apply` is not: a teacher can be shown its student's pair."""

    def draw(self, batch_size: int, generator: torch.Generator) -> Pairs:
        """A random pair for each of `batch_size` examples."""

    def apply(self, images: Tensor, encode: Encode, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] -> the two bundles [B, |g0|*C]."""


def draw_placements(base: BaseSpace, batch_size: int, generator: torch.Generator) -> Tensor:
    """A legal placement of g0 for each example, uniform and with replacement: int64 [B]."""
    return torch.randint(0, base.count, (batch_size,), generator=generator)


class PlacementPairs:
    """Draws two placements of g0 an example: independent, or at most `max_distance` apart (figure 2, right).

    With a largest distance, pairs are uniform among the ordered pairs that it allows, which is what drawing independent
    pairs and discarding the distant ones gives.
    """

    def __init__(self, base: BaseSpace, max_distance: float | None, kind: Distance) -> None:
        self.base = base
        self._allowed = None if max_distance is None else base.pairs_within(max_distance, kind)

    def draw(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Positions of both views: int64 [B, |g0|] each."""
        if self._allowed is None:
            first, second = (draw_placements(self.base, batch_size, generator) for _ in range(2))
        else:
            chosen = self._allowed[torch.randint(0, len(self._allowed), (batch_size,), generator=generator)]
            first, second = chosen[:, 0], chosen[:, 1]
        return self.base.at(first), self.base.at(second)
