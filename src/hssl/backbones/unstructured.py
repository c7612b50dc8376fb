"""Networks without structure, the controls of table 2: their 'fibers' are slices of a vector, a group in name only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self, get_args

from torch import Tensor, nn

from hssl.backbones.backbone import Backbone, scaled
from hssl.backbones.block import BasicBlock
from hssl.backbones.settings import BackboneSettings, MLPSettings, PlainResNet20Settings, PlainThreeLayerSettings
from hssl.errors import ConfigurationError
from hssl.groups import Group, Scales, Translations, Unstructured
from hssl.heads import PlainConvReadout, RowReadout
from hssl.layers import SpatialStep
from hssl.layers.sizes import steps_of

# What table 2's 'CNN (6 x CHW)' may mean (docs/decisions.md, row 13).
Reading = Literal["grouped", "shared-trunk"]

_PAPER_STREAMS = 6


class _Control(Backbone):
    """A network that has no group but slices; the group of the run transforms images alone."""

    @classmethod
    def of(cls, group: Group, *, in_channels: int, resolution: int, **settings: Any) -> Self:
        return cls(in_channels=in_channels, resolution=resolution, images_by=group, **settings)

    def spatial_steps(self) -> Sequence[SpatialStep]:
        return list(steps_of(self))


class MLP(_Control):
    """Linear layers of (784, 1024, 2048) outputs, BatchNorm and ReLU after each; 2048 is read as 16 rows of 128.

    Table 2: 'we simply reshape the 2048 dimensional output to (16, 128), and select one of the 16 rows'.
    z is [B, 128, 16].
    """

    Settings: ClassVar[type[BackboneSettings]] = MLPSettings
    projector_widths: ClassVar[tuple[int, ...]] = (128, 128, 128)
    normalizes_projector_input: ClassVar[bool] = False

    def __init__(
        self,
        *,
        in_channels: int = 1,
        resolution: int = 28,
        width: float = 1.0,
        images_by: Group | None = None,
        rows: int = 16,
    ) -> None:
        super().__init__()
        if min(in_channels, resolution) < 1:
            raise ConfigurationError(
                "an MLP reads images of at least one channel and one pixel",
                got=f"in_channels {in_channels}, resolution {resolution}",
            )
        self.in_channels, self.resolution, self.rows, self.width = in_channels, resolution, rows, width
        self.channels = scaled(128, width)
        self.group = self.feature_group = Unstructured(rows, images_by or Translations())
        sizes = [in_channels * resolution**2, scaled(784, width), scaled(1024, width), rows * self.channels]
        self.layers = nn.Sequential(nn.Flatten())
        for before, after in pairwise(sizes):
            self.layers.extend([nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU()])

    def build_readout(self, classes: int) -> nn.Module:
        return RowReadout(self.channels, classes)

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        return self.layers, self._as_rows

    def _as_rows(self, out: Tensor) -> Tensor:
        return out.reshape(len(out), self.rows, self.channels).transpose(1, 2)


class _FreeConv2d(nn.Conv2d):
    """Unconstrained kernels for `streams` streams, each of which reads itself alone: 'same' padding, no bias.

    Rows [B * streams, C, H, W], image after image with all of its streams -> [B * streams, O, H', W']; a layer that
    lifts takes the images. `weight` is [streams * O, C, k, k], the tensor that a steerable layer multiplies by.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, streams: int, stride: int = 1, lifts: bool = False
    ) -> None:
        super().__init__(
            in_channels if lifts else streams * in_channels, streams * out_channels, kernel_size, stride=stride,
            padding=kernel_size // 2, groups=1 if lifts else streams, bias=False,
        )  # fmt: skip
        self.streams = streams

    def forward(self, rows: Tensor) -> Tensor:
        """[B * streams, C, H, W], or images where it lifts -> [B * streams, O, H', W']."""
        out = super().forward(rows.reshape(-1, self.in_channels, *rows.shape[2:]))
        return out.reshape(-1, self.out_channels // self.streams, *out.shape[2:])

    def spatial_step(self, name: str, beside: bool = False) -> SpatialStep:
        """What this layer does to the size of a map."""
        return SpatialStep(name, self.kernel_size[0], self.stride[0], int(self.padding[0]), beside)

    def reset_to_fan_out(self) -> None:
        """As the residual networks of steerable layers start, N(0, 2 / (O k^2)) with O the channels of one stream."""
        fan_out = self.out_channels // self.streams * self.weight[0, 0].numel()
        nn.init.normal_(self.weight, 0.0, math.sqrt(2.0 / fan_out))


class _PlainBackbone(_Control):
    """Networks of unconstrained kernels, the 'CNN (6 x CHW)' of table 2; z is read as [B, C, streams, H, W].

    The two readings are one network but for where its streams part: at the first layer (`grouped`), so that the kernels
    of a steerable network are 'replaced by fully-parameterized counterparts, otherwise keeping the output
    dimensionality the same', or at the last one (`shared-trunk`), which is `streams` times wider than a steerable one
    and cut into slices. BatchNorm sees the streams that pass a layer as more images, as in the steerable networks.
    """

    def __init__(self, in_channels: int, images_by: Group | None, streams: int, reading: Reading, width: float) -> None:
        super().__init__()
        if in_channels < 1:
            raise ConfigurationError("images have at least one channel", got=f"in_channels {in_channels}")
        if reading not in get_args(Reading):
            raise ConfigurationError(
                "there is no such reading of 'CNN (6 x CHW)'", got=reading, expected=", ".join(get_args(Reading))
            )
        self.in_channels, self.reading, self.width = in_channels, reading, width
        self.group = Unstructured(streams, images_by or Scales((1.0,)))

    @property
    def _apart(self) -> int:
        """How many streams pass the network without meeting."""
        return self.group.order if self.reading == "grouped" else 1

    def _as_streams(self, rows: Tensor) -> Tensor:
        return rows.reshape(-1, self.group.order, self.channels, *rows.shape[2:]).transpose(1, 2)


class PlainThreeLayer(_PlainBackbone):
    """The three-layer network with unconstrained kernels: z is [B, 128, 6, 8, 8].

    Args:
        in_channels, resolution, width: as in `ThreeLayer`; no size is illegal.
        images_by: the group that A-SSL transforms images by.
        streams: slices of z.
        reading: `grouped`, 3.03 million weights, or `shared-trunk`, 2.51 million.
    """

    Settings: ClassVar[type[BackboneSettings]] = PlainThreeLayerSettings
    projector_widths: ClassVar[tuple[int, ...]] = (128, 128, 128)
    normalizes_projector_input: ClassVar[bool] = False

    def __init__(
        self,
        *,
        in_channels: int = 1,
        resolution: int = 32,
        width: float = 1.0,
        images_by: Group | None = None,
        streams: int = _PAPER_STREAMS,
        reading: Reading = "grouped",
    ) -> None:
        super().__init__(in_channels, images_by, streams, reading, width)
        first, second, self.channels = (scaled(channels, width) for channels in (32, 64, 128))
        apart = self._apart
        out = self.channels * streams // apart
        self.layers = nn.Sequential(
            _FreeConv2d(in_channels, first, 11, apart, lifts=True), nn.BatchNorm2d(first), nn.ReLU(),
            _FreeConv2d(first, second, 7, apart, stride=2), nn.BatchNorm2d(second), nn.ReLU(),
            _FreeConv2d(second, out, 7, apart, stride=2), nn.BatchNorm2d(out), nn.ReLU(),
        )  # fmt: skip
        self._check_and_bind(resolution)

    def build_readout(self, classes: int) -> nn.Module:
        return PlainConvReadout(self.channels, classes, self.feature_group.axes[-1])

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        return self.layers, self._as_streams


class _FreePointwise(_FreeConv2d):
    """One free 1x1 matrix for each stream; as `PointwiseConv2d`, the positions that a stride keeps are taken first."""

    def __init__(self, in_channels: int, out_channels: int, streams: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, 1, streams)
        self.kept = stride

    def spatial_step(self, name: str, beside: bool = False) -> SpatialStep:
        return SpatialStep(name, 1, self.kept, 0, beside)

    def forward(self, rows: Tensor) -> Tensor:
        """[R, C, H, W] -> [R, O, H', W']."""
        return super().forward(rows[..., :: self.kept, :: self.kept])


def _plain_block(in_channels: int, inside: int, out_channels: int, streams: int, stride: int) -> BasicBlock:
    changes = stride != 1 or in_channels != out_channels
    return BasicBlock(
        nn.BatchNorm2d(in_channels), _FreeConv2d(in_channels, inside, 7, streams, stride=stride),
        nn.BatchNorm2d(inside), _FreeConv2d(inside, out_channels, 7, streams),
        _FreePointwise(in_channels, out_channels, streams, stride) if changes else None,
    )  # fmt: skip


class PlainResNet20(_PlainBackbone):
    """The CIFAR-10 residual network with unconstrained kernels: z is [B, 512, 6, 7, 7].

    Args:
        in_channels, resolution, width, images_by, streams: as in `PlainThreeLayer`.
        reading: `grouped`, 558 million weights, or `shared-trunk`, 159 million.
    """

    Settings: ClassVar[type[BackboneSettings]] = PlainResNet20Settings

    def __init__(
        self,
        *,
        in_channels: int = 3,
        resolution: int = 28,
        width: float = 1.0,
        images_by: Group | None = None,
        streams: int = _PAPER_STREAMS,
        reading: Reading = "grouped",
    ) -> None:
        super().__init__(in_channels, images_by, streams, reading, width)
        lifted, stem = scaled(9, width), scaled(64, width)
        apart = self._apart
        self.stem = nn.Sequential(
            _FreeConv2d(in_channels, lifted, 7, apart, lifts=True),
            _FreeConv2d(lifted, stem, 7, apart),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
        )
        widths = [scaled(channels, width) for channels in (128, 256, 512)]
        self.channels = widths[-1]
        blocks: list[BasicBlock] = []
        channels = stem
        for stage, (inside, stride) in enumerate(zip(widths, (1, 2, 2), strict=True)):
            for index in range(3):
                last = stage == 2 and index == 2
                out = inside * streams // apart if last else inside
                blocks.append(_plain_block(channels, inside, out, apart, stride if index == 0 else 1))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, _FreeConv2d):
                module.reset_to_fan_out()
        self._check_and_bind(resolution)

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        return self.stem, self.blocks, self._as_streams
