"""The contract of a backbone f: images -> GroupFeatures, with the size check at build time."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from hssl.backbones.settings import BackboneSettings
from hssl.errors import ConfigurationError, SizeError
from hssl.groups import Group, GroupFeatures, Streams
from hssl.groups.product import factors, on_grid
from hssl.heads import PooledReadout, Projector
from hssl.layers import GroupConv2d, LiftingConv2d, PointwiseConv2d, SpatialStep, check_size, legal_sizes
from hssl.layers.sizes import output_size, total_stride


class Backbone(nn.Module, ABC):
    """A network whose features are indexed by a group.

    Attributes:
        group: the group of the network's filters; `Translations` for a plain convolutional network.
        in_channels: channels of the images.
        channels: C, the dimension of a fiber.
        resolution: height and width in pixels that it was built and checked for.
        feature_group: what indexes the features: positions, or the group and positions, or the group alone.
        width: factor on every channel count.

    One's own is made by `of`, which by default calls it as `MyNet(group, in_channels=..., resolution=..., **fields of
    its Settings)`.
    """

    Settings: ClassVar[type[BackboneSettings]] = BackboneSettings
    projector_widths: ClassVar[tuple[int, ...]] = (512, 2048, 512)
    """Output sizes of the projector's layers at full width: the residual networks' (appendix B)."""
    normalizes_projector_input: ClassVar[bool] = True
    """BatchNorm before the projector's first layer, as for the residual networks."""
    width: float = 1.0

    group: Group
    in_channels: int
    channels: int
    resolution: int
    feature_group: Group

    @classmethod
    def of(cls, group: Group, *, in_channels: int, resolution: int, **settings: Any) -> Self:
        """The network of its settings, for images of a size."""
        return cls(group, in_channels=in_channels, resolution=resolution, **settings)

    def build_projector(self, base_size: int) -> Projector:
        """h for bundles of |g0| fibers, with an input that grows with |g0| and widths that shrink with the network."""
        shrunk = [max(16, round(width * min(1.0, self.width))) for width in self.projector_widths]
        return Projector(base_size * self.channels, shrunk, normalize_input=self.normalizes_projector_input)

    def build_readout(self, classes: int) -> nn.Module:
        """The classifier of its features as maps [B, C, G, H, W], or rows [B, C, R] -> logits [B, classes]."""
        return PooledReadout(self.channels, classes)

    @abstractmethod
    def stages(self) -> Sequence[Callable[[Any], Any]]:
        """The network piece by piece: the first takes images, as `enter` gives them, each other what the one before
        gave, and the last one gives the features, or values [B, C', *feature_group.axes].

        A loss may be attached to any of them; cut from each other (`GroupFeatures.detach`) they learn by themselves.
        """

    def enter(self, images: Tensor, elements: Streams | Tensor | None = None) -> Any:
        """Images [B, C, H, W] as the first stage takes them, for all streams or those that are named for each image.

        Raises:
            ConfigurationError: elements of a network whose streams cannot be computed one without the other.
        """
        if elements is not None:
            raise ConfigurationError(
                f"the streams of this {type(self).__name__} mix: none can be computed without the others",
                got="elements",
                hint="leave elements out (views.streams all)",
            )
        return images

    def leave(self, out: Any) -> GroupFeatures:
        """What the last stage gave -> features that anybody can read."""
        if isinstance(out, GroupFeatures):
            return out
        group = self.feature_group
        _, positions = factors(group)
        if positions is not None:
            group = on_grid(group, (out.shape[-2], out.shape[-1]), positions.stride)
        return GroupFeatures(out.reshape(*out.shape[:2], *group.axes), group)

    def forward(self, images: Tensor, elements: Streams | Tensor | None = None) -> GroupFeatures:
        """f(x): images [B, C, H, W] -> all features, or those of the streams that are named for each image.

        Args:
            images: of the size that the network was built for.
            elements: int64 [B, V], indices of the group axis, or the `Streams` made from them; None for all.

        Raises:
            SizeError: images of another size or number of channels than the network was built for.
            ConfigurationError: elements of a network whose streams cannot be computed one without the other.
        """
        self._check_images(images)
        return self.of_any_size(images, elements)

    def of_any_size(self, images: Tensor, elements: Streams | Tensor | None = None) -> GroupFeatures:
        """`forward` for images of another size than the network was built and checked for."""
        z = self.enter(images, elements)
        for stage in self.stages():
            z = stage(z)
        return self.leave(z)

    @abstractmethod
    def spatial_steps(self) -> Sequence[SpatialStep]:
        """What each layer does to the size of a map, in order; empty for a network without convolutions."""

    @property
    def separate_streams(self) -> bool:
        """Whether `forward` takes `elements`: streams that can be computed one without the other."""
        return False

    @property
    def total_stride(self) -> int:
        """Pixels of the image a step of the feature map."""
        return total_stride(self.spatial_steps())

    def legal_sizes(self, near: int) -> list[int]:
        """Input sizes next to `near` that keep the group's exactness."""
        return legal_sizes(self.spatial_steps(), self.group, near)

    def _check_and_bind(self, resolution: int) -> None:
        """Check the resolution against every layer, and bind the feature group to the grid that comes out."""
        steps = self.spatial_steps()
        check_size(steps, resolution, self.group, type(self).__name__)
        self.resolution = resolution
        size = output_size(steps, resolution)
        self.feature_group = on_grid(self.group, (size, size), total_stride(steps))

    def _check_images(self, images: Tensor) -> None:
        expected = (self.in_channels, self.resolution, self.resolution)
        if images.ndim != 4 or tuple(images.shape[1:]) != expected:
            raise SizeError(
                f"this {type(self).__name__} was built for images [batch, {', '.join(map(str, expected))}]",
                got=f"a tensor of shape {tuple(images.shape)}",
                hint="build the network with the images' channels and resolution",
            )

    def materialize(self) -> Backbone:
        """Replace every steerable layer by its plain convolution, in place, for inference: the outputs stay."""
        for module in list(self.modules()):
            for name, child in module.named_children():
                if isinstance(child, LiftingConv2d | GroupConv2d | PointwiseConv2d):
                    setattr(module, name, child.materialize())
        return self

    def extra_repr(self) -> str:
        return f"{self.in_channels} x {self.resolution} x {self.resolution} -> {self.channels} x {self.feature_group}"


def scaled(channels: int, width: float) -> int:
    """A channel count times the width factor, at least one."""
    if not 0 < width < math.inf:
        raise ConfigurationError("the width factor is positive and finite", got=width)
    return max(1, round(channels * width))


def randomize_statistics(module: nn.Module, generator: torch.Generator) -> None:
    """Give every BatchNorm random statistics and affine parameters: a check must not pass by their being trivial."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_mean is not None:
            assert part.running_var is not None
            part.running_mean.copy_(torch.randn(part.num_features, generator=generator) * 0.1)
            part.running_var.copy_(torch.rand(part.num_features, generator=generator) + 0.5)
            if not part.affine:
                continue
            with torch.no_grad():
                part.weight.copy_(torch.rand(part.num_features, generator=generator) + 0.5)
                part.bias.copy_(torch.randn(part.num_features, generator=generator) * 0.1)
