"""The contract of a group: a finite, enumerated set that moves images (T_g), kernels and features (Γ_g).

Convention, everywhere (section 2): (T_g x)(u) = x(g^-1 u) on images and (Γ_g z)(h) = z(g^-1 h) on features. A network f
is equivariant when f(T_g x) = Γ_g f(x), so reading f(T_g x) at the base space g0 is reading f(x) at g^-1 . g0.

Elements are named by their index in `elements`. A group that lives on several axes (rows and columns, or rotation and
position) enumerates them in row-major order, so an element is also a position in a feature map of shape `axes`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from enum import Enum
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hssl.errors import GroupError
from hssl.groups.augmentation import Augmentation
from hssl.groups.settings import GroupSettings

Distance = Literal["euclidean", "topological"]


class Exactness(Enum):
    """How far a network that is built for the group is equivariant to it."""

    EXACT = "exact"
    OFF_BORDER = "exact off the border"
    APPROXIMATE = "approximate"
    NONE = "none"


class Group(ABC):
    """A finite set of transformations and where features indexed by it live.

    Attributes:
        axes: shape of the group axes of a feature tensor [B, C, *axes].
        exactness: the class of equivariance that its networks reach.
        closed: whether composition and inverse stay in the set. Scales and zero-padded shifts are not closed.
    """

    Settings: ClassVar[type[GroupSettings]] = GroupSettings

    axes: tuple[int, ...]
    exactness: Exactness
    closed: bool = True

    # -- the set ---------------------------------------------------------------------------------------------------

    @property
    def order(self) -> int:
        """|G|."""
        return math.prod(self.axes)

    @property
    @abstractmethod
    def elements(self) -> tuple[str, ...]:
        """A printable name for each element."""

    @property
    def identity(self) -> int:
        """The index of the element that changes nothing."""
        return 0

    def compose(self, first: int, second: int) -> int:
        """The index of first . second (second acts first).

        Raises:
            GroupError: the set is not closed and the product lies outside it.
        """
        self.check(first)
        self.check(second)
        return int(self.act(first, torch.tensor([second]))[0])

    @abstractmethod
    def inverse(self, element: int) -> int:
        """The index of element^-1.

        Raises:
            GroupError: the set is not closed and the inverse lies outside it.
        """

    @abstractmethod
    def act(self, element: int, positions: Tensor) -> Tensor:
        """g . h for positions h (int64 tensor of any shape); moves base spaces.

        Raises:
            GroupError: a position would leave the set.
        """

    @abstractmethod
    def distances(self, kind: Distance = "topological") -> Tensor:
        """Distance between every two elements, float64 [order, order].

        `euclidean` is the paper's squared Euclidean distance between element values (section 4, 'for simplicity');
        `topological` is the length of the shortest way on the group's own topology.
        """

    def distance(self, first: int, second: int, kind: Distance = "topological") -> float:
        """Distance between two elements; see `distances` for units."""
        self.check(first)
        self.check(second)
        return float(self.distances(kind)[first, second])

    def check(self, element: int) -> int:
        """The element itself; raises GroupError when it is not one of the group's indices."""
        if not 0 <= element < self.order:
            raise GroupError(
                f"{self} has no such element", got=element, expected=f"an index from 0 to {self.order - 1}"
            )
        return element

    # -- T_g on images ---------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def parameter_count(self) -> int:
        """P: how many numbers describe one image transformation."""

    @abstractmethod
    def parameters(self, elements: Tensor) -> Tensor:
        """The image transformation of each element: int64 [B] -> float64 [B, P]."""

    @abstractmethod
    def transform_by(self, images: Tensor, parameters: Tensor) -> Tensor:
        """T on images [B, C, H, W] by parameters [B, P], one transformation an example, on the images' device."""

    def transform(self, images: Tensor, element: int | Tensor) -> Tensor:
        """T_g on images [B, C, H, W]; `element` is one index for all or int64 [B], one an example."""
        if isinstance(element, int):
            element = torch.full((len(images),), self.check(element), device=images.device)
        elif len(element) != len(images):
            raise GroupError(
                f"{self}.transform needs one element an example",
                got=f"{len(element)} elements for {len(images)} images",
                expected="an int or an int64 tensor as long as the batch",
            )
        return self.transform_by(images, self.parameters(element))

    def draw(self, batch_size: int, image_size: int, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
        """Random image transformations of A-SSL (appendix B), float64 [B, P]: by default an element, uniform."""
        return self.parameters(torch.randint(0, self.order, (batch_size,), generator=generator))

    # -- Γ_g on features -------------------------------------------------------------------------------------------

    def transform_features(self, values: Tensor, element: int) -> Tensor:
        """Γ_g on a feature tensor [B, C, *axes]; by default for one axis, without positions.

        Raises:
            GroupError: the set has no exact action on sampled features (scales).
        """
        return values[..., self.act(self.inverse(element), torch.arange(self.order)).to(values.device)]

    def placements(self, size: tuple[int, ...]) -> Tensor:
        """Every legal placement of the contiguous box `size` as ordered positions, int64 [M, |g0|].

        For a closed group these are g . g0 for each g, in the order of the elements, so that placement g is the box
        moved by g. Where the set is not closed, only the placements that fit (figure 2: 'with no padding'). By default
        for one axis.
        """
        check_box(self, size)
        box = torch.arange(size[0])
        if self.closed:
            return torch.stack([self.act(element, box) for element in range(self.order)])
        return torch.arange(self.order - size[0] + 1)[:, None] + box

    # -- layers ----------------------------------------------------------------------------------------------------

    @property
    def streams(self) -> int:
        """Size of the group axis that layers carry: [B, C, streams, H, W]. Space is not part of it."""
        return self.order

    @property
    def filter_group(self) -> Group:
        """The group of the filters alone, which acts on the group axis of layers: space is not part of it."""
        return self

    @property
    def filter_scales(self) -> tuple[float, ...]:
        """Scales of the filter basis."""
        return (1.0,)

    @property
    def circular(self) -> bool:
        """Whether layers pad circularly (features on a torus) instead of with zeros."""
        return False

    def orient(self, kernels: Tensor) -> Tensor:
        """The copies of a filter along the group axis: [..., len(filter_scales), k, k] -> [..., streams, k, k]."""
        return kernels

    @property
    def folds(self) -> bool:
        """Whether stream g of an image is the first stream of the image moved by g^-1, moved by g.

        Then one filter serves all streams of a network in which they do not mix: rows are moved before the first layer
        and moved back after the last.
        """
        return False

    def move_maps(self, maps: Tensor, element: int) -> Tensor:
        """T_g on maps [R, C, H, W], the same g for all."""
        return self.transform(maps, element)

    @property
    def turns(self) -> bool:
        """Whether the group holds quarter turns, which need square images and legal sizes."""
        return False

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __str__(self) -> str:
        return repr(self)


def check_box(group: Group, size: tuple[int, ...]) -> None:
    """Raise GroupError unless `size` is a box that fits the group's axes."""
    if len(size) != len(group.axes):
        raise GroupError(
            f"the base space g0 of {group} needs one extent for each of its {len(group.axes)} axes",
            got=f"extents {size}",
            expected=f"{len(group.axes)} extents, at most {group.axes}",
        )
    if any(not 1 <= extent <= axis for extent, axis in zip(size, group.axes, strict=True)):
        raise GroupError(
            f"the base space g0 does not fit {group}",
            got=f"extents {size}, |g0| = {math.prod(size)}",
            expected=f"extents from 1 to {group.axes}, |g0| <= {group.order}",
            hint="set views.base_size smaller",
        )
