"""Translations: the group of a plain convolutional network, whose feature map is indexed by position."""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

import torch
from torch import Tensor

from hssl.errors import GroupError
from hssl.groups.augmentation import Augmentation
from hssl.groups.group import Distance, Exactness, Group, check_box
from hssl.groups.settings import GroupSettings, TranslationsSettings


class Translations(Group):
    """Shifts of an H x W feature grid; one step of the grid is `stride` pixels of the image.

    Args:
        shape: (H, W) of the feature grid. None for layers, which work on any grid.
        stride: total stride of the network, in pixels a step.
        circular: shifts wrap around and layers pad circularly. Then the set is a group, and a network exact for every
            shift by the total stride. With zero padding, the paper's, it is exact off the border only.
    """

    Settings: ClassVar[type[GroupSettings]] = TranslationsSettings

    def __init__(self, shape: tuple[int, int] | None = None, *, stride: int = 1, circular: bool = False) -> None:
        if shape is not None and (len(shape) != 2 or min(shape) < 1):
            raise GroupError(
                "Translations needs the feature grid's height and width", got=shape, expected="(H, W), each >= 1"
            )
        if stride < 1:
            raise GroupError("the total stride is at least one pixel", got=stride, expected=">= 1")
        self._shape = None if shape is None else (int(shape[0]), int(shape[1]))
        self.stride = stride
        self._circular = circular
        self.closed = circular
        self.exactness = Exactness.EXACT if circular else Exactness.OFF_BORDER

    @property
    def axes(self) -> tuple[int, ...]:  # type: ignore[override]
        if self._shape is None:
            raise GroupError(
                "these translations are not bound to a feature grid yet",
                hint="build Translations((H, W)), or take the group of a backbone's features",
            )
        return self._shape

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the feature grid."""
        height, width = self.axes
        return height, width

    @property
    def elements(self) -> tuple[str, ...]:
        height, width = self.shape
        return tuple(
            f"({row * self.stride:+d}, {column * self.stride:+d}) px"
            for row in range(height)
            for column in range(width)
        )

    @property
    def streams(self) -> int:
        return 1

    @property
    def circular(self) -> bool:
        return self._circular

    def _coordinates(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        width = self.shape[1]
        return positions // width, positions % width

    def inverse(self, element: int) -> int:
        self.check(element)
        if not self.circular and element != self.identity:
            raise GroupError(
                f"{self} holds no inverse of {self.elements[element]}: zero-padded shifts are no closed group",
                hint="use Translations(..., circular=True), or read base spaces through their placements",
            )
        height, width = self.shape
        row, column = divmod(element, width)
        return (-row % height) * width + (-column % width)

    def act(self, element: int, positions: Tensor) -> Tensor:
        height, width = self.shape
        step_row, step_column = divmod(self.check(element), width)
        rows, columns = self._coordinates(positions)
        rows, columns = rows + step_row, columns + step_column
        if self.circular:
            rows, columns = rows % height, columns % width
        elif bool(((rows >= height) | (columns >= width)).any()):
            raise GroupError(
                f"shifting by {self.elements[element]} leaves the feature grid of {self}",
                hint="use Translations(..., circular=True), or a base space and a shift that fit",
            )
        return rows * width + columns

    def distances(self, kind: Distance = "topological") -> Tensor:
        """Grid steps, squared for `euclidean`; `topological` goes around the torus where the group is circular."""
        rows, columns = self._coordinates(torch.arange(self.order, dtype=torch.float64))
        total = torch.zeros(self.order, self.order, dtype=torch.float64)
        for values, size in zip((rows, columns), self.shape, strict=True):
            gap = (values[:, None] - values[None, :]).abs()
            if kind == "topological" and self.circular:
                gap = torch.minimum(gap, size - gap)
            total += gap**2
        return total if kind == "euclidean" else total.sqrt()

    @property
    def parameter_count(self) -> int:
        return 2

    def parameters(self, elements: Tensor) -> Tensor:
        """Pixels (rows, columns)."""
        rows, columns = self._coordinates(elements)
        return torch.stack([rows, columns], dim=1).to(torch.float64) * self.stride

    def transform_by(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Shift by whole pixels; what comes in from outside is 0, or wraps around where the group is circular."""
        return shift(images, parameters.to(images.device).round().long(), self.circular)

    def draw(self, batch_size: int, image_size: int, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
        """Whole-pixel shifts, uniform within +- translation_strength of the image's size: 5 of 28 pixels at 0.2."""
        # 0.29 * 100 is a little less than 29.
        reach = math.floor(augmentation.translation_strength * image_size + 1e-9)
        return torch.randint(-reach, reach + 1, (batch_size, 2), generator=generator).double()

    def transform_features(self, values: Tensor, element: int) -> Tensor:
        steps = torch.tensor(divmod(self.check(element), self.shape[1]), device=values.device)
        return shift(values.flatten(1, -3), steps.expand(len(values), 2), self.circular).reshape(values.shape)

    def placements(self, size: tuple[int, ...]) -> Tensor:
        check_box(self, size)
        offsets = list(itertools.product(range(size[0]), range(size[1])))
        return place_offsets(offsets, self.shape, self.circular)

    def __repr__(self) -> str:
        parts = [] if self._shape is None else [f"{self._shape[0]}x{self._shape[1]}"]
        parts += [f"stride={self.stride}"] if self.stride != 1 else []
        parts += ["circular"] if self._circular else []
        return f"Translations({', '.join(parts)})"


def place_offsets(offsets: list[tuple[int, int]], shape: tuple[int, int], circular: bool) -> Tensor:
    """All shifts of ordered grid offsets, int64 [M, len(offsets)]: every shift on a torus, else those that fit."""
    height, width = shape
    relative = torch.tensor(offsets)
    if not circular:
        relative = relative - relative.min(dim=0).values
        reach = relative.max(dim=0).values
        starts = itertools.product(range(height - int(reach[0])), range(width - int(reach[1])))
    else:
        starts = itertools.product(range(height), range(width))
    places = torch.tensor(list(starts))[:, None, :] + relative[None]
    return (places[..., 0] % height) * width + places[..., 1] % width


def shift(images: Tensor, pixels: Tensor, circular: bool) -> Tensor:
    """Shift images [B, C, H, W] by whole pixels int64 [B, 2] (rows down, columns right): (T_t x)(u) = x(u - t)."""
    batch, channels, height, width = images.shape
    rows = torch.arange(height, device=images.device) - pixels[:, :1]
    columns = torch.arange(width, device=images.device) - pixels[:, 1:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    index = (rows % height)[:, :, None] * width + (columns % width)[:, None, :]
    index = index.reshape(batch, 1, -1).expand(-1, channels, -1)
    moved = images.flatten(2).gather(2, index).reshape(images.shape)
    return moved if circular else moved * inside[:, None].to(moved.dtype)
