"""Quarter-turn rotations, C4."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hssl.errors import SizeError
from hssl.groups.group import Distance, Exactness, Group
from hssl.groups.settings import GroupSettings, RotationsSettings


class Rotations(Group):
    """The four rotations by 0, 90, 180 and 270 degrees, counter-clockwise as an image is looked at.

    (Γ_q z)_r = rot_q z_{(r-q) mod 4}. Exact where every strided layer sees a legal size (see `hssl.layers.sizes`).
    """

    Settings: ClassVar[type[GroupSettings]] = RotationsSettings

    axes = (4,)
    exactness = Exactness.EXACT

    @property
    def elements(self) -> tuple[str, ...]:
        return ("0°", "90°", "180°", "270°")

    @property
    def turns(self) -> bool:
        return True

    def inverse(self, element: int) -> int:
        return -self.check(element) % 4

    def act(self, element: int, positions: Tensor) -> Tensor:
        return (positions + self.check(element)) % 4

    def distances(self, kind: Distance = "topological") -> Tensor:
        """Quarter turns: squared difference of the indices (`euclidean`), or the shorter way round (`topological`)."""
        index = torch.arange(4, dtype=torch.float64)
        gap = (index[:, None] - index[None, :]).abs()
        return gap**2 if kind == "euclidean" else torch.minimum(gap, 4 - gap)

    @property
    def parameter_count(self) -> int:
        return 1

    def parameters(self, elements: Tensor) -> Tensor:
        """Quarter turns."""
        return elements.to(torch.float64)[:, None]

    def transform_by(self, images: Tensor, parameters: Tensor) -> Tensor:
        return turn(images, parameters[:, 0].to(images.device).round().long())

    def transform_features(self, values: Tensor, element: int) -> Tensor:
        """Γ_g on spatially pooled features [B, C, 4]; maps belong to the product with Translations."""
        return values.roll(self.check(element), dims=-1)

    def orient(self, kernels: Tensor) -> Tensor:
        base = kernels.squeeze(-3)
        return torch.stack([torch.rot90(base, quarter, (-2, -1)) for quarter in range(4)], dim=-3)

    @property
    def folds(self) -> bool:
        return True

    def move_maps(self, maps: Tensor, element: int) -> Tensor:
        return torch.rot90(maps, self.check(element), (-2, -1))

    def __repr__(self) -> str:
        return "Rotations(C4)"


def turn(images: Tensor, quarters: Tensor) -> Tensor:
    """Turn images [B, C, N, N] by quarter turns int64 [B], one an example; no device sync."""
    if images.shape[-1] != images.shape[-2]:
        raise SizeError(
            "quarter turns need square images",
            got=f"{images.shape[-2]}x{images.shape[-1]} pixels",
            expected="height = width",
            hint="pad or resize the images (data.fit, data.resolution)",
        )
    quarters = (quarters % 4).reshape(-1, 1, 1, 1)
    odd = torch.where(quarters % 2 == 1, torch.rot90(images, 1, (-2, -1)), images)
    return torch.where(quarters >= 2, odd.flip((-2, -1)), odd)
