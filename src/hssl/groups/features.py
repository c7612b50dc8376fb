"""Group features: z = f(x) in R^(C x |G|), read at fibers and bundles (section 2)."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.errors import GroupError, SizeError
from hssl.groups.group import Exactness, Group
from hssl.groups.layout import RowLayout, Streams
from hssl.groups.product import factors, on_grid


class GroupFeatures:
    """A feature tensor and the group that indexes it.

    Inside a network features are rows [R, C, H, W], one for each stream of each image that is computed, and a ReLU may
    wait for the next convolution, which costs less there. Whoever reads features sees neither.

    Args:
        values: [B, C, *group.axes].
        group: the group whose elements are the positions of `values`.
    """

    def __init__(self, values: Tensor, group: Group) -> None:
        if tuple(values.shape[2:]) != group.axes:
            raise SizeError(
                f"features of {group} live on [batch, channels, {', '.join(map(str, group.axes))}]",
                got=f"a tensor of shape {tuple(values.shape)}",
            )
        self._set(values, group)

    def _set(
        self, data: Tensor, group: Group, layout: RowLayout | None = None, stride: int = 1, waiting: bool = False
    ) -> None:
        self._data, self._group, self._layout, self._stride, self._waiting = data, group, layout, stride, waiting
        self._values: Tensor | None = None

    @classmethod
    def _of(cls, *given: Any) -> GroupFeatures:
        features = cls.__new__(cls)
        features._set(*given)
        return features

    # -- rows, for layers --------------------------------------------------------------------------------------------

    @classmethod
    def of_images(cls, images: Tensor, group: Group, layout: RowLayout) -> GroupFeatures:
        """Images [B, C, H, W] as a network's first layer takes them: a row for each stream that is computed.

        Args:
            group: of the filters, or `Translations` for a network whose positions are its group.
            layout: which rows there are to be; `interleaved` leaves the images as they are.
        """
        if not layout.interleaved:
            chosen = layout.chosen
            if chosen is not None:
                images = images.index_select(0, chosen.images.to(images.device))
            elif group.streams > 1:
                images = images.repeat(group.streams, 1, 1, 1)
            if layout.moved is not None:
                images = _moved(images, layout.moved, group, back=True)
        return cls.of_rows(images, group, layout)

    @classmethod
    def of_rows(cls, rows: Tensor, group: Group, layout: RowLayout) -> GroupFeatures:
        """Rows [R, C, H, W], or [R, C] once pooled over positions, of a network of that group."""
        return cls._of(rows, group, layout)

    @property
    def has_rows(self) -> bool:
        """Whether these are inside a network; whole features have no rows."""
        return self._layout is not None

    @property
    def layout(self) -> RowLayout:
        """How the rows lie."""
        if self._layout is None:
            raise GroupError("these features are whole, they have no rows", got=str(self))
        return self._layout

    @property
    def rows(self) -> Tensor:
        """[R, C, H, W] as they lie, a waiting ReLU left out."""
        assert self._layout is not None
        return self._data

    @property
    def waiting(self) -> bool:
        """Whether a ReLU of the rows is still to be taken."""
        return self._waiting

    @property
    def settled(self) -> Tensor:
        """The rows [R, C, H, W] with a waiting ReLU taken; of whole features the maps [B, C, G, H, W]."""
        if self._layout is None:
            return self._data.reshape(*self._data.shape[:2], self._group.streams, *self._data.shape[-2:])
        return F.relu(self._data) if self._waiting else self._data

    def rectified(self) -> GroupFeatures:
        """ReLU, which waits for whoever reads the rows next."""
        return self.replaced(F.relu(self.settled)) if self._layout is None else self._like(self.settled, waiting=True)

    def replaced(self, data: Tensor, stride: int = 1) -> GroupFeatures:
        """What a layer made of the rows, or of whole maps; it kept every `stride`-th position."""
        if self._layout is not None:
            return self._like(data, stride=stride)
        _, before = factors(self._group)
        assert before is not None
        group = on_grid(self._group, (data.shape[-2], data.shape[-1]), stride * before.stride)
        return GroupFeatures(data.reshape(*data.shape[:2], *group.axes), group)

    def detach(self) -> GroupFeatures:
        """The same features, cut from the graph: what comes after sends no gradient back."""
        if self._layout is None:
            return GroupFeatures(self._data.detach(), self._group)
        return self._like(self._data.detach(), waiting=self._waiting)

    def __add__(self, other: GroupFeatures) -> GroupFeatures:
        return self.replaced(self.settled + other.settled)

    def choose(self, streams: Streams) -> GroupFeatures:
        """Some streams of features that lie image after image, as if no others had been computed."""
        whole = self.settled.reshape(-1, self._group.streams, *self.settled.shape[1:]).transpose(0, 1)
        stretches = zip(whole, torch.split(streams.images, list(streams.counts)), strict=True)
        rows = torch.cat([stream[rows] for stream, rows in stretches])
        return GroupFeatures._of(rows, self._group, RowLayout(streams.counts, chosen=streams), self._stride)

    def _like(self, data: Tensor, stride: int = 1, waiting: bool = False) -> GroupFeatures:
        return GroupFeatures._of(data, self._group, self._layout, self._stride * stride, waiting)

    # -- reading -----------------------------------------------------------------------------------------------------

    @property
    def group(self) -> Group:
        """What indexes the features: positions, a group and positions, or a group alone once pooled over positions."""
        if self._layout is None:
            return self._group
        if self._data.ndim == 2:
            return self._group.filter_group
        return on_grid(self._group, (self._data.shape[-2], self._data.shape[-1]), self._stride)

    @property
    def chosen(self) -> Streams | None:
        """The streams that were computed; None for all."""
        return None if self._layout is None else self._layout.chosen

    @property
    def values(self) -> Tensor:
        """[B, C, *group.axes]; where only some streams were computed, a row for each of those, [R, C, *positions]."""
        if self._values is None:
            self._values = self._read()
        return self._values

    def _read(self) -> Tensor:
        layout = self._layout
        if layout is None:
            return self._data
        data, streams = self.settled, self._group.streams
        if layout.moved is not None and data.ndim > 2:
            data = _moved(data, layout.moved, self._group, back=False)
        if layout.chosen is not None:
            return data
        if layout.interleaved:
            data = data.reshape(-1, streams, *data.shape[1:]).transpose(1, 2)
        else:
            data = data.reshape(streams, -1, *data.shape[1:]).permute(1, 2, 0, *range(3, data.ndim + 1))
        return data.reshape(*data.shape[:2], *self.group.axes)

    @property
    def channels(self) -> int:
        """C, the dimension of one fiber."""
        return self._data.shape[1]

    def fiber(self, element: int) -> Tensor:
        """z(g): [B, C]."""
        if self.chosen is not None:
            return self.at(torch.full((len(self.chosen.slots), 1), self.group.check(element)))
        return self.values.flatten(2)[:, :, self.group.check(element)]

    def at(self, positions: Tensor) -> Tensor:
        """The fiber bundle z(g) = [z(g) | g in g]: positions int64 [B, K] -> [B, K*C], fiber after fiber.

        Raises:
            SizeError: positions of another number of examples.
            GroupError: a position in a stream that was not computed.
        """
        chosen = self.chosen
        examples = len(self.values) if chosen is None else len(chosen.slots)
        if positions.ndim != 2 or len(positions) != examples:
            raise SizeError(
                "a bundle is read at one ordered set of positions an example",
                got=f"positions {tuple(positions.shape)} for {examples} examples",
                expected="int64 [B, |g0|]",
            )
        if chosen is None:
            index = positions.to(self.values.device)[:, None, :].expand(-1, self.channels, -1)
            return self.values.flatten(2).gather(2, index).transpose(1, 2).flatten(1)
        maps = self.values.flatten(2) if self.values.ndim > 2 else self.values.unsqueeze(2)
        places = maps.shape[2]
        rows = chosen.rows(positions // places)
        return maps[rows, :, positions.to(rows.device) % places].flatten(1)

    def transform(self, element: int) -> GroupFeatures:
        """Γ_g z."""
        return GroupFeatures(self.group.transform_features(self.values, element), self.group)

    def pool_space(self) -> GroupFeatures:
        """Average over positions; what stays is indexed by the first factor of the product."""
        filters, positions = factors(self.group)
        if filters is None or positions is None:
            raise GroupError(f"features of {self.group} have no positions beside their group to pool over")
        if self._layout is None:
            return GroupFeatures(self._data.mean(dim=(-2, -1)), filters)
        return self._like(self.settled.mean(dim=(-2, -1)))

    def embedding(self) -> Tensor:
        """What probes are fitted on: the mean over the group and over positions, [B, C].

        Slices that are a group in name only have nothing to average over: they stay side by side, slice after slice,
        [B, S*C], and positions alone are averaged.
        """
        if self.group.exactness is not Exactness.NONE:
            return self.values.flatten(2).mean(dim=2)
        slices = self.values if None in factors(self.group) else self.pool_space().values
        return slices.flatten(2).transpose(1, 2).flatten(1)

    def __repr__(self) -> str:
        what = (
            f"{len(self._data)} x {self.channels}"
            if self.chosen is None
            else f"{self.chosen}, {self.channels} channels"
        )
        return f"GroupFeatures({self.group}, order {self.group.order}: {what})"


Maps = TypeVar("Maps", Tensor, GroupFeatures)
"""What a layer takes and returns: features, or a tensor."""


def _moved(rows: Tensor, counts: tuple[int, ...], group: Group, *, back: bool) -> Tensor:
    """Each stream's rows moved by its element, or back by the inverse."""
    parts = torch.split(rows, list(counts))
    return torch.cat([group.move_maps(part, group.inverse(g) if back else g) for g, part in enumerate(parts)])
