"""Group features: z = f(x) in R^(C x |G|), read at fibers and bundles (section 2)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hssl.errors import GroupError, SizeError
from hssl.groups.group import Exactness, Group
from hssl.groups.product import Product
from hssl.groups.streams import Streams
from hssl.groups.translations import Translations


@dataclass(frozen=True)
class GroupFeatures:
    """A feature tensor and the group that indexes it.

    Attributes:
        values: [B, C, *group.axes].
        group: the group whose elements are the positions of `values`.
    """

    values: Tensor
    group: Group

    def __post_init__(self) -> None:
        if tuple(self.values.shape[2:]) != self.group.axes:
            raise SizeError(
                f"features of {self.group} live on [batch, channels, {', '.join(map(str, self.group.axes))}]",
                got=f"a tensor of shape {tuple(self.values.shape)}",
            )

    @property
    def channels(self) -> int:
        """C, the dimension of one fiber."""
        return self.values.shape[1]

    def fiber(self, element: int) -> Tensor:
        """z(g): [B, C]."""
        return self.values.flatten(2)[:, :, self.group.check(element)]

    def at(self, positions: Tensor) -> Tensor:
        """The fiber bundle z(g) = [z(g) | g in g]: positions int64 [B, K] -> [B, K*C], fiber after fiber."""
        if positions.ndim != 2 or len(positions) != len(self.values):
            raise SizeError(
                "a bundle is read at one ordered set of positions an example",
                got=f"positions {tuple(positions.shape)} for {len(self.values)} examples",
                expected="int64 [B, |g0|]",
            )
        index = positions.to(self.values.device)[:, None, :].expand(-1, self.channels, -1)
        return self.values.flatten(2).gather(2, index).transpose(1, 2).flatten(1)

    def transform(self, element: int) -> GroupFeatures:
        """Γ_g z."""
        return GroupFeatures(self.group.transform_features(self.values, element), self.group)

    def pool_space(self) -> GroupFeatures:
        """Average over positions; what stays is indexed by the first factor of the product."""
        if not isinstance(self.group, Product) or not isinstance(self.group.second, Translations):
            raise GroupError(f"features of {self.group} have no positions beside their group to pool over")
        return GroupFeatures(self.values.mean(dim=(-2, -1)), self.group.first)

    def embedding(self) -> Tensor:
        """What probes are fitted on: the mean over the group and over positions, [B, C].

        Slices that are a group in name only have nothing to average over: they stay side by side, slice after slice,
        [B, S*C], and positions alone are averaged.
        """
        if self.group.exactness is not Exactness.NONE:
            return self.values.flatten(2).mean(dim=2)
        beside_positions = isinstance(self.group, Product) and isinstance(self.group.second, Translations)
        slices = self.pool_space().values if beside_positions else self.values
        return slices.flatten(2).transpose(1, 2).flatten(1)

    def __repr__(self) -> str:
        batch, channels = self.values.shape[:2]
        return f"GroupFeatures({self.group}, order {self.group.order}: {batch} x {channels} x {self.group.axes})"


@dataclass(frozen=True)
class StreamFeatures:
    """Some streams of a feature tensor: what a network gives when it is told which elements to compute.

    Attributes:
        values: [R, C, H, W], or [R, C] once pooled over positions; one row for each computed stream of an image.
        streams: which image and stream each row is.
        group: what indexes the whole features: a group of streams and positions, or of streams alone once pooled.
    """

    values: Tensor
    streams: Streams
    group: Group

    @property
    def channels(self) -> int:
        """C, the dimension of one fiber."""
        return self.values.shape[1]

    def at(self, positions: Tensor) -> Tensor:
        """As `GroupFeatures.at`: positions int64 [B, K] -> [B, K*C].

        Raises:
            GroupError: a position in a stream that was not computed.
        """
        if positions.ndim != 2 or len(positions) != len(self.streams.slots):
            raise SizeError(
                "a bundle is read at one ordered set of positions an example",
                got=f"positions {tuple(positions.shape)} for {len(self.streams.slots)} examples",
                expected="int64 [B, |g0|]",
            )
        maps = self.values.flatten(2) if self.values.ndim > 2 else self.values.unsqueeze(2)
        places = maps.shape[2]
        rows = self.streams.rows(positions // places)
        return maps[rows, :, positions.to(rows.device) % places].flatten(1)

    def pool_space(self) -> StreamFeatures:
        """Average over positions; what stays is indexed by the first factor of the product."""
        if self.values.ndim != 4 or not isinstance(self.group, Product):
            raise GroupError(f"features of {self.group} have no positions beside their group to pool over")
        return StreamFeatures(self.values.mean(dim=(-2, -1)), self.streams, self.group.first)

    def __repr__(self) -> str:
        return f"StreamFeatures({self.group}: {self.streams}, {self.channels} channels)"
