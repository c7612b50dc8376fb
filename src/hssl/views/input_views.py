"""A-SSL: two transformed images, two forward passes, both read at the same base space (equation 2, appendix B)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import torch
from torch import Tensor

from hssl.backbones import Backbone
from hssl.errors import SizeError
from hssl.groups import Augmentation, BaseSpace, Group, Streams
from hssl.views.placements import Which, check_which, deal, draw_placements, which_streams
from hssl.views.settings import InputViewsSettings, ViewsSettings
from hssl.views.views import Bundles, Encode, Pairs, Views, base_space, encoded


class InputViews(Views):
    """f(T_g1 x) and f(T_g2 x), both read at one g0 an example.

    Args:
        group: transforms the images.
        base: g0 and its placements in the features.
        image_size: pixels, for shifts given as a share of it.
        augmentation: how strong transformations are.
        streams: as in `FiberViews`; one base space of six fibers is a sixth of the work.
    """

    Settings: ClassVar[type[ViewsSettings]] = InputViewsSettings

    def __init__(
        self,
        group: Group,
        base: BaseSpace,
        image_size: int,
        augmentation: Augmentation | None = None,
        streams: Which = "all",
    ) -> None:
        super().__init__(base)
        self.group, self.image_size = group, image_size
        self.augmentation = augmentation or Augmentation()
        self.which = check_which(streams, base)

    @classmethod
    def of(
        cls,
        backbone: Backbone,
        image_size: int,
        *,
        base_size: tuple[int, ...] | int,
        joint: bool,
        translation_strength: float,
        smallest_scale: float,
        scale_draw: Literal["continuous", "discrete"],
        streams: Which,
    ) -> InputViews:
        """The views of images for a network, transformed by its group."""
        base = base_space(backbone, base_size, joint)
        augmentation = Augmentation(translation_strength, smallest_scale, scale_draw)
        return cls(backbone.group, base, image_size, augmentation, which_streams(backbone, base, streams))

    def draw(self, batch_size: int, generator: torch.Generator) -> Pairs:
        """Independent g1 and g2, one g0 for both branches."""
        first, second = self._draw_transformations(batch_size, generator)
        placements = (
            draw_placements(self.base, batch_size, generator)
            if self.which == "all"
            else deal(self.base.count, batch_size, generator)
        )
        positions = self.base.at(placements)
        return self.with_streams(Pairs(positions, positions, first, second))

    def with_streams(self, pairs: Pairs) -> Pairs:
        if self.which == "all":
            return pairs
        # The first views, then the second: both pass the network as one batch.
        both = torch.cat([pairs.positions_1, pairs.positions_2])
        return dataclasses.replace(pairs, streams=Streams.of(both, self.base.group.order))

    def _draw_transformations(self, batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        first, second = (self.group.draw(batch_size, self.image_size, self.augmentation, generator) for _ in range(2))
        return first, second

    def forward(self, images: Tensor, encode: Encode, pairs: Pairs) -> Bundles:
        """Images [B, C, H, W] -> bundles [B, |g0|*C]; both views pass the network as one batch of 2B.

        Raises:
            SizeError: images of another size than the pairs were drawn for.
            GroupError: features of another group than the base space moves on.
        """
        if images.shape[-2:] != (self.image_size, self.image_size):
            raise SizeError(
                f"these views were drawn for images of {self.image_size} px, of which shifts are a share",
                got=f"images of shape {tuple(images.shape)}",
                hint="give InputViews the image_size of the images",
            )
        assert pairs.parameters_1 is not None
        assert pairs.parameters_2 is not None
        both = torch.cat([images, images])
        transformed = self.group.transform_by(both, torch.cat([pairs.parameters_1, pairs.parameters_2]))
        features = encoded(encode, transformed, pairs)
        z = self.read(features)
        first, second = z.at(torch.cat([pairs.positions_1, pairs.positions_2])).chunk(2)
        return Bundles(first, second, features)
