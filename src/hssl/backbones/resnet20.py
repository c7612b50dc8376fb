"""The two residual networks of the CIFAR-10 and Tiny ImageNet experiments (appendix B)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

from torch import Tensor, nn

from hssl.backbones.backbone import scaled
from hssl.backbones.settings import BackboneSettings, CIFAR10ResNet20Settings, TinyImageNetResNet20Settings
from hssl.backbones.steerable import SteerableBackbone
from hssl.errors import ConfigurationError
from hssl.groups import Group
from hssl.layers import BasisKind, GroupBatchNorm, GroupConv2d, LiftingConv2d, PointwiseConv2d, RowLayout, SpatialStep


class BasicBlock(nn.Module):
    """Pre-activation residual block (Sosnovik et al. 2020): a = ReLU(BN(x)); out = conv2(ReLU(BN(conv1(a)))).

    The skip is x itself where shape stays, else a pointwise convolution of a. [B, C, G, H, W] -> [B, O, G, H', W'].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        group: Group,
        stride: int = 1,
        basis: BasisKind = "sesn",
        extent: int = 1,
    ) -> None:
        super().__init__()
        self.norm1 = GroupBatchNorm(in_channels)
        self.conv1 = GroupConv2d(
            in_channels, out_channels, 7, 3, group, stride=stride, padding=3, basis=basis, extent=extent
        )
        self.norm2 = GroupBatchNorm(out_channels)
        self.conv2 = GroupConv2d(out_channels, out_channels, 7, 3, group, padding=3, basis=basis, extent=extent)
        # A stride changes the shape as a width does: looking at the channels alone would add maps of two sizes.
        changes = stride != 1 or in_channels != out_channels
        self.shortcut = PointwiseConv2d(in_channels, out_channels, group, stride=stride) if changes else None
        self.relu = nn.ReLU()

    def spatial_steps(self, name: str) -> Iterator[SpatialStep]:
        """Its layers in the order of the path; the shortcut reads what conv1 reads."""
        yield self.conv1.spatial_step(f"{name}.conv1")
        if self.shortcut is not None:
            yield self.shortcut.spatial_step(f"{name}.shortcut", beside=True)
        yield self.conv2.spatial_step(f"{name}.conv2")

    def rows(self, rows: Tensor, layout: RowLayout) -> Tensor:
        """[R, C, H, W] -> [R, O, H', W']."""
        a = self.norm1(rows)
        if self.shortcut is not None:
            a = self.relu(a)
        inside = self.norm2(self.conv1.rows(a, layout, rectify=self.shortcut is None))
        out = self.conv2.rows(inside, layout, rectify=True)
        return (rows if self.shortcut is None else self.shortcut.rows(a, layout)) + out

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, G, H, W] -> [B, O, G, H', W']."""
        a = self.relu(self.norm1(x))
        out = self.conv2(self.relu(self.norm2(self.conv1(a))))
        return (x if self.shortcut is None else self.shortcut(a)) + out  # type: ignore[no-any-return]


class ResNet20(SteerableBackbone):
    """Lifting (k 7, e 7, 9 channels), group convolution (k 7, e 3, 64), BatchNorm, ReLU, then stages of `BasicBlock`.

    z is the last block's output, before any normalisation. Weights start as N(0, 2 / (O e^2)).

    Args:
        group: of the filters.
        widths: output channels of the stages, before `width`.
        strides: stride of each stage's first block.
        blocks: blocks a stage.
        in_channels, resolution, width, basis, full_extent: as in `ThreeLayer`; quarter turns need N = 1 modulo the
            product of the strides.
    """

    def __init__(
        self,
        group: Group,
        *,
        widths: Sequence[int],
        strides: Sequence[int],
        blocks: int,
        in_channels: int = 3,
        resolution: int = 25,
        width: float = 1.0,
        basis: BasisKind = "sesn",
        full_extent: bool = False,
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(strides) or min(*widths, *strides, blocks) < 1:
            raise ConfigurationError(
                "a residual network needs a width and a stride for each stage, and blocks in it",
                got=f"widths {tuple(widths)}, strides {tuple(strides)}, blocks {blocks}",
                expected="as many widths as strides, all at least 1",
            )
        self.group, self.in_channels, self.width = group, in_channels, width
        extent = group.streams if full_extent else 1
        lifted, stem = scaled(9, width), scaled(64, width)
        self.lift = LiftingConv2d(in_channels, lifted, 7, 7, group, padding=3, basis=basis)
        self.stem = GroupConv2d(lifted, stem, 7, 3, group, padding=3, basis=basis, extent=extent)
        self.norm = GroupBatchNorm(stem)
        self.relu = nn.ReLU()
        stages: list[BasicBlock] = []
        channels = stem
        for stage_width, stride in zip(widths, strides, strict=True):
            for index in range(blocks):
                out = scaled(stage_width, width)
                stages.append(BasicBlock(channels, out, group, stride if index == 0 else 1, basis, extent))
                channels = out
        self.blocks = nn.ModuleList(stages)
        self.channels = channels
        self._reset_parameters()
        self._check_and_bind(resolution)

    def _reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, LiftingConv2d | GroupConv2d | PointwiseConv2d):
                fan_out = module.weight.numel() / module.in_channels
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))

    def spatial_steps(self) -> Sequence[SpatialStep]:
        steps = [self.lift.spatial_step("lift"), self.stem.spatial_step("stem")]
        for index, block in enumerate(self.blocks):
            assert isinstance(block, BasicBlock)
            steps.extend(block.spatial_steps(f"blocks.{index}"))
        return steps

    def rows(self, rows: Tensor, layout: RowLayout) -> Tensor:
        z: Tensor = self.relu(self.norm(self.stem.rows(self.lift.rows(rows, layout), layout)))
        for block in self.blocks:
            assert isinstance(block, BasicBlock)
            z = block.rows(z, layout)
        return z


class CIFAR10ResNet20(ResNet20):
    """Stages (128, 256, 512), strides (1, 2, 2), three blocks each: z is [B, 512, G, 7, 7] for 25 to 28 pixels."""

    Settings: ClassVar[type[BackboneSettings]] = CIFAR10ResNet20Settings

    def __init__(
        self,
        group: Group,
        *,
        in_channels: int = 3,
        resolution: int = 25,
        width: float = 1.0,
        basis: BasisKind = "sesn",
        full_extent: bool = False,
    ) -> None:
        super().__init__(
            group, widths=(128, 256, 512), strides=(1, 2, 2), blocks=3, in_channels=in_channels, resolution=resolution,
            width=width, basis=basis, full_extent=full_extent,
        )  # fmt: skip


class TinyImageNetResNet20(ResNet20):
    """Stages (64, 128, 256, 512), strides (1, 2, 2, 2), two blocks each: z is [B, 512, G, 4, 4] for 25 to 32 pixels."""

    Settings: ClassVar[type[BackboneSettings]] = TinyImageNetResNet20Settings

    def __init__(
        self,
        group: Group,
        *,
        in_channels: int = 3,
        resolution: int = 25,
        width: float = 1.0,
        basis: BasisKind = "sesn",
        full_extent: bool = False,
    ) -> None:
        super().__init__(
            group, widths=(64, 128, 256, 512), strides=(1, 2, 2, 2), blocks=2, in_channels=in_channels,
            resolution=resolution, width=width, basis=basis, full_extent=full_extent,
        )  # fmt: skip
