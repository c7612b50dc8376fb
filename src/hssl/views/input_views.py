"""A-SSL: two transformed images, two forward passes, both read at the same base space (equation 2, appendix B)."""

from __future__ import annotations

import torch
from torch import Tensor

from hssl.groups import Augmentation, BaseSpace, Group
from hssl.views.pairs import Encode, Pairs, draw_placements


class InputViews:
    """f(T_g1 x) and f(T_g2 x), both read at one g0 an example.

    Args:
        group: transforms the images.
        base: g0 and its placements in the features.
        image_size: pixels, for shifts given as a share of it.
        augmentation: how strong transformations are.
    """

    def __init__(
        self, group: Group, base: BaseSpace, image_size: int, augmentation: Augmentation | None = None
    ) -> None:
        self.group, self.base, self.image_size = group, base, image_size
        self.augmentation = augmentation or Augmentation()

    def draw(self, batch_size: int, generator: torch.Generator) -> Pairs:
        """Independent g1 and g2, one g0 for both branches."""
        first, second = (self.group.draw(batch_size, self.image_size, self.augmentation, generator) for _ in range(2))
        positions = self.base.at(draw_placements(self.base, batch_size, generator))
        return Pairs(positions, positions, first, second)

    def apply(self, images: Tensor, encode: Encode, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] -> bundles [B, |g0|*C]; both views pass the network as one batch of 2B."""
        assert pairs.parameters_1 is not None
        assert pairs.parameters_2 is not None
        both = torch.cat([images, images])
        transformed = self.group.transform_by(both, torch.cat([pairs.parameters_1, pairs.parameters_2]))
        first, second = encode(transformed).at(torch.cat([pairs.positions_1, pairs.positions_2])).chunk(2)
        return first, second
