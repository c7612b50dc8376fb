"""The contract of views: a positive pair is how each view's image is transformed, and where its features are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from hssl.backbones import Backbone
from hssl.errors import ConfigurationError, GroupError
from hssl.groups import BaseSpace, Distance, GroupFeatures, Product, Streams
from hssl.transfer import moved
from hssl.views.settings import ViewsSettings

# Images, and where views are sampled the streams to compute, to features.
Encode = Callable[..., GroupFeatures]


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


class Bundles(NamedTuple):
    """What the two views of a batch are read as.

    Attributes:
        first, second: [B, |g0|*C], the fiber bundles of each example.
        features: what they were read from, positions and all; where each view was encoded, the first view's examples
            come first.
    """

    first: Tensor
    second: Tensor
    features: GroupFeatures


class Views(nn.Module, ABC):
    """Where positive pairs come from. `draw` is random, calling is not: a teacher can be shown its student's pair.

    A module, so that views with weights are trained with the network. One's own derives from this and is made by
    `of(backbone, image_size, **fields of its Settings)`.

    Args:
        base: g0 and its placements in the features, or in the features pooled over positions.
    """

    Settings: ClassVar[type[ViewsSettings]] = ViewsSettings

    def __init__(self, base: BaseSpace) -> None:
        super().__init__()
        self.base = base

    @abstractmethod
    def draw(self, batch_size: int, generator: torch.Generator) -> Pairs:
        """A random pair for each of `batch_size` examples."""

    @abstractmethod
    def forward(self, images: Tensor, encode: Encode, pairs: Pairs) -> Bundles:
        """Images [B, C, H, W] -> the two bundles [B, |g0|*C] of each."""

    def with_streams(self, pairs: Pairs) -> Pairs:
        """The pairs with the streams that they read, for sampled views; else the pairs as they are."""
        return pairs

    def read(self, features: GroupFeatures) -> GroupFeatures:
        """The features as base spaces are read in them: pooled over positions where g0 has none.

        Raises:
            GroupError: features of another group than the base space moves on.
        """
        group = self.base.group
        if features.group != group and isinstance(features.group, Product) and features.group.first == group:
            features = features.pool_space()
        if features.group.order != group.order:
            raise GroupError(
                "a base space moves on the group of the features that are read",
                got=f"g0 on {group} (order {group.order}), features of {features.group} (order {features.group.order})",
                hint="BaseSpace(f.group, ...) for features pooled over space, else BaseSpace(f.feature_group, ...)",
            )
        return features


def encoded(encode: Encode, images: Tensor, pairs: Pairs) -> GroupFeatures:
    """The features of the streams that are asked for; an encoder that is asked for all need not know of streams."""
    return encode(images) if pairs.streams is None else encode(images, pairs.streams)


def base_space(backbone: Backbone, size: tuple[int, ...] | int, joint: bool) -> BaseSpace:
    """g0 in the features of a network: pooled over positions, except where positions are the group, or with `joint`.

    Raises:
        GroupError: a base space that does not fit the group.
        ConfigurationError: no joint group where one is asked.
    """
    group = backbone.feature_group
    if joint and not isinstance(group, Product):
        raise ConfigurationError(
            f"there is no joint group: features of this network are indexed by {group} alone",
            got="views.joint true",
            hint="drop --views.joint, or choose a rotation or scale recipe",
        )
    return BaseSpace(group.first if isinstance(group, Product) and not joint else group, size)


def check_moves(base: BaseSpace, max_distance: float | None, distance: Distance, why: str) -> None:
    """Raises ConfigurationError for views that move g0 where g0 cannot move: both would be read at the same place."""
    if base.count < 2:
        raise ConfigurationError(
            f"the base space has a single place in the group: {why}",
            got=f"views.base_size {base.extents} in {base.group}",
            expected="at least 2 placements",
            hint="lower --views.base_size, or choose a larger group"
            if base.size > 1
            else "choose a larger group, such as more --group.factors of scales",
        )
    if max_distance is None:
        return
    first, second = base.pairs_within(max_distance, distance).unbind(1)
    if bool((first == second).all()):
        raise ConfigurationError(
            f"no two places of the base space are that near to each other: {why}",
            got=f"views.max_distance {max_distance:g} ({distance})",
            expected="a distance that lets different placements pair",
            hint="raise --views.max_distance, or leave it out for any distance",
        )
