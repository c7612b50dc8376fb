"""A positive pair: how each view's image is transformed, and where its features are read."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from hssl.errors import ConfigurationError, GroupError
from hssl.groups import BaseSpace, Distance, GroupFeatures, StreamFeatures, Streams
from hssl.transfer import moved

# Images, and where views are sampled the streams to compute, to features.
Encode = Callable[..., GroupFeatures | StreamFeatures]
Which = Literal["all", "sampled"]


@dataclass(frozen=True)
class Pairs:
    """(g1, g2, g0) of a batch, resolved to what a view needs.

    Attributes:
        positions_1, positions_2: int64 [B, |g0|]: where the features of the first and second view are read.
        parameters_1, parameters_2: float64 [B, P]: the image transformation of each view; None leaves the image alone.
        streams: what of the features the views read, for views that compute nothing else; None computes all.
    """

    positions_1: Tensor
    positions_2: Tensor
    parameters_1: Tensor | None = None
    parameters_2: Tensor | None = None
    streams: Streams | None = None

    def part(self, rows: slice) -> Pairs:
        """The pairs of some of the examples, without streams: those follow from what the part reads."""

        def cut(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[rows]

        return Pairs(self.positions_1[rows], self.positions_2[rows], cut(self.parameters_1), cut(self.parameters_2))

    def to(self, device: torch.device) -> Pairs:
        """The same pairs on a device."""
        return Pairs(
            moved(self.positions_1, device),
            moved(self.positions_2, device),
            None if self.parameters_1 is None else moved(self.parameters_1, device),
            None if self.parameters_2 is None else moved(self.parameters_2, device),
            None if self.streams is None else self.streams.to(device),
        )


class Views(Protocol):
    """Where positive pairs come from. `draw` is random, `apply` is not: a teacher can be shown its student's pair."""

    def draw(self, batch_size: int, generator: torch.Generator) -> Pairs:
        """A random pair for each of `batch_size` examples."""

    def apply(self, images: Tensor, encode: Encode, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] -> the two bundles [B, |g0|*C]."""

    def with_streams(self, pairs: Pairs) -> Pairs:
        """The pairs with the streams that they read, for sampled views; else the pairs as they are."""


def call(encode: Encode, images: Tensor, streams: Streams | None, base: BaseSpace) -> GroupFeatures | StreamFeatures:
    """The features of the streams that are asked for; an encoder that is asked for all need not know of streams.

    Raises:
        GroupError: features of another group than the base space moves on.
    """
    features = encode(images) if streams is None else encode(images, streams)
    if features.group.order != base.group.order:
        raise GroupError(
            "a base space moves on the group of the features that are read",
            got=f"g0 on {base.group} (order {base.group.order}), features of {features.group} "
            f"(order {features.group.order})",
            hint="BaseSpace(f.group, ...) where the encoder pools over space, else BaseSpace(f.feature_group, ...)",
        )
    return features


def deal(cards: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` cards off shuffled decks of `cards`, deck after deck: int64 [count].

    Each card alone is uniform, and every stretch of whole decks holds each card equally often. A batch of whole decks
    asks for each stream equally often, with the same shapes at every step; any other is at most a deck away from that.
    That is for single elements at any distance: larger g0 on scales, and near pairs, read the inner streams more often
    than the outer ones.
    """
    decks = -(-count // cards)
    return torch.rand(decks, cards, generator=generator).argsort(dim=1).flatten()[:count]


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
