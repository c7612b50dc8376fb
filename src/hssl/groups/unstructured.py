"""The control: a group in name only, for networks without structure (table 2)."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from hssl.errors import GroupError
from hssl.groups.augmentation import Augmentation
from hssl.groups.group import Distance, Exactness, Group


class Unstructured(Group):
    """`order` slices of a feature vector called 'fibers', with no action behind the name.

    Images are transformed as in the experiment that it controls; nothing relates the slices to it.

    Args:
        order: how many slices.
        images_by: the group that A-SSL transforms images by.
    """

    exactness = Exactness.NONE
    closed = False

    def __init__(self, order: int, images_by: Group) -> None:
        if order < 1:
            raise GroupError("an unstructured group has at least one slice", got=order, expected=">= 1")
        self.axes = (order,)
        self.images_by = images_by

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(f"slice {index}" for index in range(self.order))

    def _nameless(self, asked: str) -> NoReturn:
        raise GroupError(f"{self} has no {asked}: it is a group in name only, the control without structure")

    def inverse(self, element: int) -> int:
        self._nameless("inverse")

    def act(self, element: int, positions: Tensor) -> Tensor:
        self._nameless("action on positions")

    def distances(self, kind: Distance = "topological") -> Tensor:
        """Squared difference of the indices, or 0 and 1: no slice is nearer than another."""
        index = torch.arange(self.order, dtype=torch.float64)
        gap = index[:, None] - index[None, :]
        return gap**2 if kind == "euclidean" else (gap != 0).double()

    @property
    def parameter_count(self) -> int:
        return self.images_by.parameter_count

    def parameters(self, elements: Tensor) -> Tensor:
        self._nameless("element that moves images")

    def transform_by(self, images: Tensor, parameters: Tensor) -> Tensor:
        return self.images_by.transform_by(images, parameters)

    def draw(self, batch_size: int, image_size: int, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
        return self.images_by.draw(batch_size, image_size, augmentation, generator)

    def transform_features(self, values: Tensor, element: int) -> Tensor:
        self._nameless("action on features")

    def __repr__(self) -> str:
        return f"Unstructured({self.order}, images by {self.images_by})"
