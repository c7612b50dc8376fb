"""Quarter turns and mirror images, D4."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from hssl.groups.group import Distance, Exactness, Group
from hssl.groups.rotations import turn
from hssl.groups.settings import DihedralSettings, GroupSettings


class Dihedral(Group):
    """The eight symmetries of the square. Element 4 m + r mirrors left and right m times, then turns by r quarters.

    (Γ_g z)_h = T_g z_{g^-1 h}. The group does not commute, which makes it the sharpest test of the convention.
    """

    Settings: ClassVar[type[GroupSettings]] = DihedralSettings

    axes = (8,)
    exactness = Exactness.EXACT

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(f"{90 * quarter}°{' mirrored' if mirror else ''}" for mirror in (0, 1) for quarter in range(4))

    @property
    def turns(self) -> bool:
        return True

    def inverse(self, element: int) -> int:
        mirror, quarter = divmod(self.check(element), 4)
        return element if mirror else -quarter % 4

    def act(self, element: int, positions: Tensor) -> Tensor:
        mirror, quarter = divmod(self.check(element), 4)
        mirrors, quarters = positions // 4, positions % 4
        # rot_a flip rot_b = rot_(a-b) flip
        return 4 * ((mirrors + mirror) % 2) + (quarter + (-quarters if mirror else quarters)) % 4

    def distances(self, kind: Distance = "topological") -> Tensor:
        """Squared difference of indices (`euclidean`), or quarter turns of g^-1 h plus 1 for a mirror."""
        index = torch.arange(8)
        if kind == "euclidean":
            return ((index[:, None] - index[None, :]) ** 2).double()
        relative = torch.stack([self.act(self.inverse(element), index) for element in range(8)])
        quarters = relative % 4
        return (torch.minimum(quarters, 4 - quarters) + relative // 4).double()

    @property
    def parameter_count(self) -> int:
        return 2

    def parameters(self, elements: Tensor) -> Tensor:
        """(mirrored, quarter turns)."""
        return torch.stack([elements // 4, elements % 4], dim=1).double()

    def transform_by(self, images: Tensor, parameters: Tensor) -> Tensor:
        whole = parameters.to(images.device).round().long()
        mirrored = torch.where(whole[:, 0].reshape(-1, 1, 1, 1) == 1, images.flip(-1), images)
        return turn(mirrored, whole[:, 1])

    def orient(self, kernels: Tensor) -> Tensor:
        base = kernels.squeeze(-3)
        return torch.stack(
            [torch.rot90(copy, quarter, (-2, -1)) for copy in (base, base.flip(-1)) for quarter in range(4)], dim=-3
        )

    @property
    def folds(self) -> bool:
        return True

    def move_maps(self, maps: Tensor, element: int) -> Tensor:
        mirror, quarter = divmod(self.check(element), 4)
        return torch.rot90(maps.flip(-1) if mirror else maps, quarter, (-2, -1))

    def __repr__(self) -> str:
        return "Dihedral(D4)"
