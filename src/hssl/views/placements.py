"""Drawing where base spaces lie: independent, near each other, or dealt so that every stream is read equally often."""

from __future__ import annotations

import itertools
from typing import Literal

import torch
from torch import Tensor

from hssl.backbones import Backbone
from hssl.errors import ConfigurationError
from hssl.groups import BaseSpace, Distance

Which = Literal["all", "sampled"]


def deal(cards: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` cards off shuffled decks of `cards`, deck after deck: int64 [count].

    Each card alone is uniform, and every stretch of whole decks holds each card equally often. A batch of whole decks
    asks for each stream equally often, with the same shapes at every step; any other is at most a deck away from that.
    That is for single elements at any distance: larger g0 on scales, and near pairs, read the inner streams more often
    than the outer ones.
    """
    decks = -(-count // cards)
    return torch.rand(decks, cards, generator=generator).argsort(dim=1).flatten()[:count]


def which_streams(backbone: Backbone, base: BaseSpace, wanted: Which) -> Which:
    """`sampled` where it is wanted and there are streams to choose from: none mix, and none are read at positions."""
    return (
        "sampled"
        if wanted == "sampled"
        and backbone.separate_streams
        and len(base.group.axes) == 1
        and (base.group.order == backbone.group.streams > 1)
        else "all"
    )


def check_which(which: Which, base: BaseSpace) -> Which:
    """The choice itself; raises ConfigurationError where base spaces hold more than streams."""
    if which not in ("all", "sampled"):
        raise ConfigurationError("views compute all streams or sampled ones", got=which, expected="all, sampled")
    if which == "sampled" and len(base.group.axes) > 1:
        raise ConfigurationError(
            "only features that are pooled over positions have streams to choose from",
            got=f"streams 'sampled' for base spaces of {base.group}",
            hint="use streams 'all'",
        )
    return which


def draw_placements(base: BaseSpace, batch_size: int, generator: torch.Generator) -> Tensor:
    """A legal placement of g0 for each example, uniform and with replacement: int64 [B]."""
    return torch.randint(0, base.count, (batch_size,), generator=generator)


class PlacementPairs:
    """Draws two placements of g0 an example: independent, or at most `max_distance` apart (figure 2, right).

    With a largest distance, pairs are uniform among the ordered pairs that it allows, which is what drawing independent
    pairs and discarding the distant ones gives. With `which` sampled, pairs are dealt instead of drawn: each example's
    pair is as it was, and the batch reads every stream (nearly) equally often.
    """

    def __init__(self, base: BaseSpace, max_distance: float | None, kind: Distance, which: Which = "all") -> None:
        self.base, self.which = base, check_which(which, base)
        self._allowed = None if max_distance is None else base.pairs_within(max_distance, kind)
        if self._allowed is None and which == "sampled":
            self._allowed = torch.tensor(list(itertools.product(range(base.count), repeat=2)))

    def draw(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Positions of both views: int64 [B, |g0|] each."""
        if self._allowed is None:
            first, second = (draw_placements(self.base, batch_size, generator) for _ in range(2))
        else:
            cards = len(self._allowed)
            chosen = self._allowed[
                deal(cards, batch_size, generator)
                if self.which == "sampled"
                else torch.randint(0, cards, (batch_size,), generator=generator)
            ]
            first, second = chosen[:, 0], chosen[:, 1]
        return self.base.at(first), self.base.at(second)
