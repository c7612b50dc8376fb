"""The three-layer network of the MNIST experiments (appendix B)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import nn

from hssl.backbones.backbone import scaled
from hssl.backbones.settings import BackboneSettings, ThreeLayerSettings
from hssl.backbones.steerable import SteerableBackbone
from hssl.groups import Group, GroupFeatures
from hssl.heads import ConvReadout
from hssl.layers import BasisKind, GroupBatchNorm, GroupConv2d, GroupReLU, LiftingConv2d


class ThreeLayer(SteerableBackbone):
    """Channels (32, 64, 128), kernels (11, 7, 7), effective sizes (11, 3, 3), strides (1, 2, 2), paddings (5, 3, 3).

    No biases; BatchNorm and ReLU after each layer; the last ReLU's output is z, [B, 128, G, 8, 8] for 29 to 32 pixels.

    Args:
        group: of the filters.
        in_channels: of the images.
        resolution: pixels; quarter turns need N = 1 mod 4, circular shifts N = 0 mod 4.
        width: factor on the channel counts.
        basis: `sesn` (the paper's) or `untruncated`.
        full_extent: convolve over the whole cyclic group axis (p4) instead of stream by stream.
    """

    Settings: ClassVar[type[BackboneSettings]] = ThreeLayerSettings
    projector_widths: ClassVar[tuple[int, ...]] = (128, 128, 128)
    normalizes_projector_input: ClassVar[bool] = False

    def __init__(
        self,
        group: Group,
        *,
        in_channels: int = 1,
        resolution: int = 29,
        width: float = 1.0,
        basis: BasisKind = "sesn",
        full_extent: bool = False,
    ) -> None:
        super().__init__()
        self.group, self.in_channels, self.width, self.basis = group, in_channels, width, basis
        first, second, self.channels = (scaled(channels, width) for channels in (32, 64, 128))
        extent = group.streams if full_extent else 1
        self.lift = LiftingConv2d(in_channels, first, 11, 11, group, padding=5, basis=basis)
        self.norm1 = GroupBatchNorm(first)
        self.conv2 = GroupConv2d(first, second, 7, 3, group, stride=2, padding=3, basis=basis, extent=extent)
        self.norm2 = GroupBatchNorm(second)
        self.conv3 = GroupConv2d(second, self.channels, 7, 3, group, stride=2, padding=3, basis=basis, extent=extent)
        self.norm3 = GroupBatchNorm(self.channels)
        self.relu = GroupReLU()
        self._check_and_bind(resolution)

    def build_readout(self, classes: int) -> nn.Module:
        return ConvReadout(self.channels, classes, self.group, self.feature_group.axes[-1], self.basis)

    def stages(self) -> Sequence[Callable[[GroupFeatures], GroupFeatures]]:
        return self.first, self.second, self.third

    def first(self, x: GroupFeatures) -> GroupFeatures:
        """Images to features of 32 channels."""
        return self.relu(self.norm1(self.lift(x)))

    def second(self, z: GroupFeatures) -> GroupFeatures:
        """To 64 channels, half the size."""
        return self.relu(self.norm2(self.conv2(z)))

    def third(self, z: GroupFeatures) -> GroupFeatures:
        """To 128 channels, a quarter of the size."""
        return self.relu(self.norm3(self.conv3(z)))
