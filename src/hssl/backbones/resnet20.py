"""The two residual networks of the CIFAR-10 and Tiny ImageNet experiments (appendix B)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from torch import nn

from hssl.backbones.backbone import scaled
from hssl.backbones.block import BasicBlock
from hssl.backbones.settings import BackboneSettings, CIFAR10ResNet20Settings, TinyImageNetResNet20Settings
from hssl.backbones.steerable import SteerableBackbone
from hssl.errors import ConfigurationError
from hssl.groups import Group, GroupFeatures
from hssl.layers import BasisKind, GroupBatchNorm, GroupConv2d, GroupReLU, LiftingConv2d, PointwiseConv2d


def block_of(
    in_channels: int, out_channels: int, group: Group, stride: int = 1, basis: BasisKind = "sesn", extent: int = 1
) -> BasicBlock:
    """A residual block of steerable layers: kernels of 7 pixels, effective size 3."""

    def conv(channels: int, stride: int) -> GroupConv2d:
        return GroupConv2d(channels, out_channels, 7, 3, group, stride=stride, padding=3, basis=basis, extent=extent)

    # A stride changes the shape as a width does: looking at the channels alone would add maps of two sizes.
    changes = stride != 1 or in_channels != out_channels
    return BasicBlock(
        GroupBatchNorm(in_channels), conv(in_channels, stride), GroupBatchNorm(out_channels), conv(out_channels, 1),
        PointwiseConv2d(in_channels, out_channels, group, stride=stride) if changes else None,
    )  # fmt: skip


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
        self.relu = GroupReLU()
        stages: list[BasicBlock] = []
        channels = stem
        for stage_width, stride in zip(widths, strides, strict=True):
            for index in range(blocks):
                out = scaled(stage_width, width)
                stages.append(block_of(channels, out, group, stride if index == 0 else 1, basis, extent))
                channels = out
        self.blocks, self.blocks_a_stage = nn.ModuleList(stages), blocks
        self.channels = channels
        self._reset_parameters()
        self._check_and_bind(resolution)

    def _reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, LiftingConv2d | GroupConv2d | PointwiseConv2d):
                fan_out = module.weight.numel() / module.in_channels
                nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))

    def stages(self) -> Sequence[Callable[[GroupFeatures], GroupFeatures]]:
        return self.enter_group, *(self._stage(index) for index in range(len(self.blocks) // self.blocks_a_stage))

    def enter_group(self, x: GroupFeatures) -> GroupFeatures:
        """Images to features: lifting and the first group convolution."""
        return self.relu(self.norm(self.stem(self.lift(x))))

    def _stage(self, index: int) -> Callable[[GroupFeatures], GroupFeatures]:
        blocks = self.blocks[index * self.blocks_a_stage : (index + 1) * self.blocks_a_stage]

        def stage(z: GroupFeatures) -> GroupFeatures:
            for block in blocks:
                z = block(z)
            return z

        return stage


class CIFAR10ResNet20(ResNet20):
    """Stages (128, 256, 512), strides (1, 2, 2), three blocks each: z is [B, 512, G, 7, 7] for 25 to 28 pixels.

    Args:
        group, settings: as in `ResNet20`, which has the rest of them.
    """

    Settings: ClassVar[type[BackboneSettings]] = CIFAR10ResNet20Settings

    def __init__(self, group: Group, **settings: Any) -> None:
        super().__init__(group, widths=(128, 256, 512), strides=(1, 2, 2), blocks=3, **settings)


class TinyImageNetResNet20(ResNet20):
    """Stages (64, 128, 256, 512), strides (1, 2, 2, 2), two blocks each: z is [B, 512, G, 4, 4] for 25 to 32 pixels.

    Args:
        group, settings: as in `ResNet20`, which has the rest of them.
    """

    Settings: ClassVar[type[BackboneSettings]] = TinyImageNetResNet20Settings

    def __init__(self, group: Group, **settings: Any) -> None:
        super().__init__(group, widths=(64, 128, 256, 512), strides=(1, 2, 2, 2), blocks=2, **settings)
