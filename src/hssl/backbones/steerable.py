"""Backbones of steerable layers: all streams are computed, or only those that are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from torch import Tensor

from hssl.backbones.backbone import Backbone
from hssl.backbones.settings import BackboneSettings, SteerableSettings
from hssl.errors import ConfigurationError
from hssl.groups import Group, GroupFeatures, RowLayout, Streams
from hssl.layers import PLAN_CHOICES, GroupConv2d, PlainConv2d, PlanChoice, SpatialStep, SteerableConv2d
from hssl.layers.sizes import steps_of


class SteerableBackbone(Backbone):
    """A network of lifting and group convolutions.

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

    def spatial_steps(self) -> Sequence[SpatialStep]:
        return list(steps_of(self))

    def _steerable(self) -> list[SteerableConv2d]:
        return [part for part in self.modules() if isinstance(part, SteerableConv2d)]

    @property
    def _plain(self) -> bool:
        if any(isinstance(part, PlainConv2d) for part in self.modules()):
            return True  # materialised
        return any(layer.plan == "plain" or not layer.plannable for layer in self._steerable())

    def enter(self, images: Tensor, elements: Streams | Tensor | None = None) -> GroupFeatures:
        group, batch, plain = self.group, len(images), self._plain
        chosen = None if elements is None else self._streams(elements, batch)
        # The slow twin computes all of them; `leave` chooses.
        counts = (batch,) * group.streams if chosen is None or plain else chosen.counts
        folded = group.folds and not plain
        layout = RowLayout((sum(counts),) if folded else counts, plain, chosen, moved=counts if folded else None)
        return GroupFeatures.of_images(images, group, layout)

    def leave(self, out: GroupFeatures) -> GroupFeatures:
        return out.choose(out.chosen) if out.chosen is not None and out.layout.interleaved else out

    def _streams(self, elements: Streams | Tensor, batch: int) -> Streams:
        if not self.separate_streams:
            raise ConfigurationError(
                f"the streams of this {type(self).__name__} mix: none can be computed without the others",
                got="elements with layers of full extent",
                hint="leave elements out (views.streams all), or build the network without full_extent",
            )
        streams = elements if isinstance(elements, Streams) else Streams.of(elements, self.group.streams)
        if len(streams.slots) != batch or streams.order != self.group.streams:
            raise ConfigurationError(
                "streams are named for every image of a batch",
                got=f"{streams} for {batch} images and {self.group.streams} streams",
            )
        return streams
