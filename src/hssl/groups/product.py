"""Products: a group of the filters with positions (rotation x position is p4), or two groups of the filters."""

from __future__ import annotations

import itertools
from typing import ClassVar

import torch
from torch import Tensor

from hssl.errors import GroupError
from hssl.groups.augmentation import Augmentation
from hssl.groups.group import Distance, Exactness, Group, check_box
from hssl.groups.settings import GroupSettings, ProductSettings
from hssl.groups.translations import Translations, place_offsets
from hssl.parts import build, settings_class

_WEAKEST_LAST = (Exactness.EXACT, Exactness.OFF_BORDER, Exactness.APPROXIMATE, Exactness.NONE)


class Product(Group):
    """(a, b) with the elements of both; features live on [B, C, *a.axes, *b.axes].

    With translations as the second factor the first one also moves positions, the semidirect product: the element (r,
    t) turns by r, then shifts by t, and (r1, t1)(r2, t2) = (r1 r2, t1 + r1 t2). On a grid of even size the centre of
    rotation lies between pixels, so a position is not an element: `act` moves positions, `compose` multiplies elements.

    Args:
        first: the group of the filters (Rotations, Dihedral, Scales, Unstructured, or a product of such).
        second: Translations, or another group of the filters (then the product is direct).
    """

    Settings: ClassVar[type[GroupSettings]] = ProductSettings

    @classmethod
    def of(cls, first: str, second: str) -> Product:
        """The product of two groups by their names, with their default settings."""
        one, other = (build("group", settings_class("group", name)(name=name)) for name in (first, second))
        return cls(one, other)

    def __init__(self, first: Group, second: Group) -> None:
        if isinstance(first, Translations):
            raise GroupError(
                "translations come second in a product",
                got=f"Product({first}, {second})",
                hint=f"Product({second}, {first})",
            )
        for part in (first, second):
            if isinstance(part, Product) and isinstance(part.second, Translations):
                raise GroupError(
                    "translations are the outermost factor of a product",
                    got=f"Product({first}, {second})",
                    hint="multiply the groups of the filters first: Product(Product(a, b), translations)",
                )
        if first.turns and second.turns:
            raise GroupError(
                "only one factor of a product may hold quarter turns: two would not commute",
                got=f"Product({first}, {second})",
                expected="Dihedral(), which holds the mirrors and the quarter turns",
            )
        self.first: Group = first
        self.second: Group = second
        self.closed = first.closed and second.closed
        self.exactness = max(first.exactness, second.exactness, key=_WEAKEST_LAST.index)
        self._spatial = isinstance(second, Translations)

    @property
    def axes(self) -> tuple[int, ...]:  # type: ignore[override]
        return (*self.first.axes, *self.second.axes)

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(f"{a} {b}" for a in self.first.elements for b in self.second.elements)

    @property
    def identity(self) -> int:
        return self.first.identity * self.second.order + self.second.identity

    def _split(self, element: int) -> tuple[int, int]:
        return divmod(self.check(element), self.second.order)

    @property
    def space(self) -> Translations:
        """The positions of a product with translations."""
        if not isinstance(self.second, Translations):
            raise GroupError(f"{self} has no positions: its second factor is {self.second}")
        return self.second

    def _moved_positions(self, element: int) -> Tensor:
        """Where the first factor takes each grid position, int64 [H*W]."""
        height, width = self.space.shape
        grid = torch.arange(height * width).reshape(1, 1, height, width)
        if not self.first.turns:
            return grid.flatten()
        sources = self.first.transform(grid, element).flatten()
        return torch.argsort(sources)

    def compose(self, first: int, second: int) -> int:
        if not self.closed:
            raise GroupError(f"{self} has no composition: one of its factors is not closed")
        (a1, b1), (a2, b2) = self._split(first), self._split(second)
        return self.first.compose(a1, a2) * self.second.order + self.second.compose(b1, self._moved_shift(a1, b2))

    def _moved_shift(self, element: int, shift: int) -> int:
        """a b a^-1 for a of the first factor and b of the second: the linear part of a on a shift, on the torus."""
        if not self._spatial:
            return shift
        height, width = self.space.shape
        moved = self._moved_positions(element)
        start, end = int(moved[0]), int(moved[shift])
        rows = (end // width - start // width) % height
        columns = (end % width - start % width) % width
        return rows * width + columns

    def inverse(self, element: int) -> int:
        if not self.closed:
            raise GroupError(f"{self} has no inverse: one of its factors is not closed")
        a, b = self._split(element)
        back = self.first.inverse(a)
        return back * self.second.order + self._moved_shift(back, self.second.inverse(b))

    def act(self, element: int, positions: Tensor) -> Tensor:
        a, b = self._split(element)
        outer, inner = positions // self.second.order, positions % self.second.order
        if self._spatial:
            inner = self._moved_positions(a).to(positions.device)[inner]
        return self.first.act(a, outer) * self.second.order + self.second.act(b, inner)

    def distances(self, kind: Distance = "topological") -> Tensor:
        """Squares add up over the factors; `topological` is the root of the sum."""
        a, b = self.first.distances(kind), self.second.distances(kind)
        if kind == "topological":
            a, b = a**2, b**2
        total = (a[:, None, :, None] + b[None, :, None, :]).reshape(self.order, self.order)
        return total if kind == "euclidean" else total.sqrt()

    @property
    def parameter_count(self) -> int:
        return self.first.parameter_count + self.second.parameter_count

    def parameters(self, elements: Tensor) -> Tensor:
        return torch.cat(
            [
                self.first.parameters(elements // self.second.order),
                self.second.parameters(elements % self.second.order),
            ],
            dim=1,
        )

    def transform_by(self, images: Tensor, parameters: Tensor) -> Tensor:
        split = self.first.parameter_count
        return self.second.transform_by(self.first.transform_by(images, parameters[:, :split]), parameters[:, split:])

    def draw(self, batch_size: int, image_size: int, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
        return torch.cat(
            [part.draw(batch_size, image_size, augmentation, generator) for part in (self.first, self.second)], dim=1
        )

    def transform_features(self, values: Tensor, element: int) -> Tensor:
        a, b = self._split(element)
        if not self._spatial:
            moved = self.second.transform_features(values, b)
            return self.first.transform_features(moved.transpose(-1, -2), a).transpose(-1, -2)
        height, width = self.space.shape
        batch = values.shape[0]
        maps = values.reshape(batch, -1, height, width)
        if self.first.turns:
            maps = self.first.transform(maps, a)
        streams = maps.reshape(batch, -1, self.first.order, height * width).transpose(-1, -2)
        streams = self.first.transform_features(streams, a).transpose(-1, -2)
        return self.second.transform_features(streams.reshape(batch, -1, height, width), b).reshape(values.shape)

    def placements(self, size: tuple[int, ...]) -> Tensor:
        check_box(self, size)
        split = len(self.first.axes)
        outer = self.first.placements(size[:split])
        rows = []
        for index, streams in enumerate(outer):
            if self._spatial:
                width = self.space.shape[1]
                box = [row * width + column for row, column in itertools.product(range(size[-2]), range(size[-1]))]
                # A closed first factor turns the box with it: placement `index` is the element itself.
                moved = self._moved_positions(index)[box] if self.first.closed else torch.tensor(box)
                offsets = [(int(place) // width, int(place) % width) for place in moved]
                inner = place_offsets(offsets, self.space.shape, self.space.circular)
            else:
                inner = self.second.placements(size[split:])
            rows.append((streams[None, :, None] * self.second.order + inner[:, None, :]).flatten(1))
        return torch.cat(rows)

    @property
    def streams(self) -> int:
        return self.first.streams * self.second.streams

    @property
    def filter_group(self) -> Group:
        return self.first.filter_group if self._spatial else self

    @property
    def filter_scales(self) -> tuple[float, ...]:
        if len(self.first.filter_scales) > 1 and len(self.second.filter_scales) > 1:
            raise GroupError("one factor of a product holds the scales", got=str(self))
        return self.first.filter_scales if len(self.first.filter_scales) > 1 else self.second.filter_scales

    @property
    def circular(self) -> bool:
        return self.first.circular or self.second.circular

    @property
    def turns(self) -> bool:
        return self.first.turns or self.second.turns

    def orient(self, kernels: Tensor) -> Tensor:
        if self._spatial:
            return self.first.orient(kernels)
        # Each factor expands the axis it owns: [..., S, k, k] -> [..., first, second, k, k] -> [..., streams, k, k].
        if len(self.second.filter_scales) > 1:
            spread = torch.stack([self.first.orient(one.unsqueeze(-3)) for one in kernels.unbind(-3)], dim=-3)
        else:
            copies = self.first.orient(kernels).unbind(-3)
            spread = torch.stack([self.second.orient(one.unsqueeze(-3)) for one in copies], dim=-4)
        return spread.flatten(-4, -3)

    def __repr__(self) -> str:
        return f"{self.first} x {self.second}"


def factors(group: Group) -> tuple[Group | None, Translations | None]:
    """The group of the filters and the positions, each where features of this group have them."""
    if isinstance(group, Translations):
        return None, group
    if isinstance(group, Product) and isinstance(group.second, Translations):
        return group.first, group.second
    return group, None


def on_grid(group: Group, size: tuple[int, int], stride: int) -> Group:
    """What indexes maps of a network of this group: the group of its filters, if it has one, and positions.

    Args:
        group: of the filters, with positions or without, or `Translations`.
        size: (H, W) of the maps.
        stride: pixels of the image a step.
    """
    positions = Translations(size, stride=stride, circular=group.circular)
    return positions if isinstance(group, Translations) else Product(group.filter_group, positions)
