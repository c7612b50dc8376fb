"""Backbones of steerable layers: computed on rows, whole or only the streams that are read."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Self, overload

import torch
from torch import Tensor

from hssl.backbones.backbone import Backbone
from hssl.backbones.settings import BackboneSettings, SteerableSettings
from hssl.errors import ConfigurationError
from hssl.groups import Group, GroupFeatures, StreamFeatures, Streams
from hssl.layers import PLAN_CHOICES, GroupConv2d, PlainConv2d, PlanChoice, RowLayout, SteerableConv2d


class SteerableBackbone(Backbone):
    """A network of lifting and group convolutions; subclasses say in `rows` how one row passes it.

    Streams never mix where every extent is 1, so f(x) can be computed for chosen streams of each image alone: the
    convolutions, the gradients and, in eval mode, the features are those of the whole computation. In train mode
    BatchNorm sees the computed streams only, a sample of what it would see.

    Where streams are turned copies of each other (`Group.folds`), images are turned back before the first layer and
    maps forth after the last, z_g = T_g Φ(T_g^-1 x), and every row sees the same filters.
    """

    Settings: ClassVar[type[BackboneSettings]] = SteerableSettings

    @classmethod
    def of(  # type: ignore[override]
        cls, group: Group, *, in_channels: int, resolution: int, plan: PlanChoice, full_extent: bool, **settings: Any
    ) -> Self:
        if full_extent and not group.turns:
            raise ConfigurationError(
                "only rotations have a cyclic group axis to convolve over",
                got=f"backbone.full_extent with {group}",
                hint="drop --backbone.full_extent",
            )
        network = cls(group, in_channels=in_channels, resolution=resolution, full_extent=full_extent, **settings)
        network.plan = plan
        return network

    @abstractmethod
    def rows(self, rows: Tensor, layout: RowLayout) -> Tensor:
        """Image rows [R, C, H, W] -> feature rows [R, C', H', W'].

        In the plain formulation (`layout.interleaved`) the first layer takes the images themselves, [B, C, H, W].
        """

    @property
    def plan(self) -> PlanChoice:
        """How the layers are computed; `auto` where they differ. Setting it sets all of them."""
        plans = {layer.plan for layer in self._steerable()}
        return plans.pop() if len(plans) == 1 else "auto"

    @plan.setter
    def plan(self, plan: PlanChoice) -> None:
        if plan not in PLAN_CHOICES:
            raise ConfigurationError("there is no such plan", got=plan, expected=", ".join(PLAN_CHOICES))
        for layer in self._steerable():
            layer.plan = plan

    @property
    def separate_streams(self) -> bool:
        """Whether streams can be computed one without the other."""
        return all(layer.extent == 1 for layer in self._steerable() if isinstance(layer, GroupConv2d))

    def _steerable(self) -> list[SteerableConv2d]:
        return [part for part in self.modules() if isinstance(part, SteerableConv2d)]

    @property
    def _plain(self) -> bool:
        if any(isinstance(part, PlainConv2d) for part in self.modules()):
            return True  # materialised
        return any(layer.plan == "plain" or not layer.plannable for layer in self._steerable())

    @overload
    def forward(self, images: Tensor, elements: None = None) -> GroupFeatures: ...
    @overload
    def forward(self, images: Tensor, elements: Streams | Tensor) -> StreamFeatures: ...
    def forward(self, images: Tensor, elements: Streams | Tensor | None = None) -> GroupFeatures | StreamFeatures:
        """f(x): images [B, C, H, W] -> all features, or those of the streams that are named for each image.

        Args:
            images: of the size that the network was built for.
            elements: int64 [B, V], indices of the group axis, or the `Streams` made from them; None for all.

        Raises:
            SizeError: images of another size or number of channels than the network was built for.
            ConfigurationError: elements of a network whose streams mix.
        """
        if elements is None:
            return super().forward(images)
        self._check_images(images)
        if not self.separate_streams:
            raise ConfigurationError(
                f"the streams of this {type(self).__name__} mix: none can be computed without the others",
                got="elements with layers of full extent",
                hint="leave elements out (views.streams all), or build the network without full_extent",
            )
        streams = elements if isinstance(elements, Streams) else Streams.of(elements, self.group.streams)
        if len(streams.slots) != len(images) or streams.order != self.group.streams:
            raise ConfigurationError(
                "streams are named for every image of a batch",
                got=f"{streams} for {len(images)} images and {self.group.streams} streams",
            )
        if self._plain:
            # The slow twin computes all of them.
            whole = self.maps(images).permute(2, 0, 1, 3, 4)
            stretches = zip(whole, torch.split(streams.images, list(streams.counts)), strict=True)
            values = torch.cat([stream[rows] for stream, rows in stretches])
        else:
            rows = images.index_select(0, streams.images.to(images.device))
            values = self._planned(rows, streams.counts)
        return StreamFeatures(values, streams, self.feature_group)

    def maps(self, images: Tensor) -> Tensor:
        streams, batch = self.group.streams, len(images)
        if self._plain:
            out = self.rows(images, RowLayout((batch,) * streams, interleaved=True))
            return out.reshape(batch, streams, *out.shape[1:]).transpose(1, 2)
        rows = images if streams == 1 else images.repeat(streams, 1, 1, 1)
        out = self._planned(rows, (batch,) * streams)
        return out.reshape(streams, batch, *out.shape[1:]).permute(1, 2, 0, 3, 4)

    def _planned(self, images: Tensor, counts: tuple[int, ...]) -> Tensor:
        """Image rows, stream after stream, to feature rows."""
        group = self.group
        if not group.folds:
            return self.rows(images, RowLayout(counts))
        moved = [
            group.move_maps(part, group.inverse(element))
            for element, part in enumerate(torch.split(images, list(counts)))
        ]
        out = self.rows(torch.cat(moved), RowLayout((len(images),)))
        return torch.cat(
            [group.move_maps(part, element) for element, part in enumerate(torch.split(out, list(counts)))]
        )
