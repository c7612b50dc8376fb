"""The base space g0: an ordered set of group elements at which a feature map is read (section 2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hssl.errors import GroupError
from hssl.groups.group import Distance, Group
from hssl.groups.product import Product


class BaseSpace:
    """A contiguous box of group elements, and everywhere it may lie.

    Order is critical (section 2): a rotation may permute g0 and leave the unordered set intact.

    Args:
        group: the group that features are indexed by.
        size: extent along each axis of the group; an int n means n along each axis of a one-factor group, and must be 1
            on a product, whose axes have different meanings.

    Raises:
        GroupError: a box that does not fit the group.
    """

    def __init__(self, group: Group, size: int | tuple[int, ...] = 1) -> None:
        if isinstance(size, int):
            if size > 1 and isinstance(group, Product):
                raise GroupError(
                    f"one number does not say how g0 lies in {group}",
                    got=f"base_size {size}",
                    expected=f"an extent for each axis, at most {group.axes}",
                )
            size = (size,) * len(group.axes)
        elif len(size) == 1 and len(group.axes) > 1 and size[0] == 1:
            size = (1,) * len(group.axes)
        self.group = group
        self.extents = tuple(size)
        self.positions = group.placements(self.extents)

    @property
    def size(self) -> int:
        """|g0|."""
        return math.prod(self.extents)

    @property
    def count(self) -> int:
        """How many placements are legal."""
        return len(self.positions)

    def at(self, placements: Tensor) -> Tensor:
        """Ordered positions of each placement: int64 [B] -> int64 [B, |g0|]."""
        return self.positions[placements]

    def moved_back(self, elements: Tensor, placements: Tensor) -> Tensor:
        """g^-1 . g0 for each example: elements [B], placements [B] -> positions [B, |g0|].

        Raises:
            GroupError: the group has no inverses (scales, zero-padded shifts).
        """
        return torch.stack(
            [
                self.group.act(self.group.inverse(int(element)), positions)
                for element, positions in zip(elements, self.at(placements), strict=True)
            ]
        )

    def pairs_within(self, max_distance: float, kind: Distance) -> Tensor:
        """Ordered pairs of placements with anchors at most `max_distance` apart, int64 [Q, 2] (figure 2, right)."""
        anchors = self.positions[:, 0]
        near = self.group.distances(kind)[anchors][:, anchors] <= max_distance + 1e-9
        return near.nonzero()

    def __repr__(self) -> str:
        return f"BaseSpace({'x'.join(map(str, self.extents))} of {self.group}, {self.count} placements)"
