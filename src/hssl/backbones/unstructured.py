"""Networks without structure, the controls of table 2: their 'fibers' are slices of a vector, a group in name only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from hssl.backbones.backbone import Backbone, scaled
from hssl.errors import ConfigurationError
from hssl.groups import Group, Product, Scales, Translations, Unstructured
from hssl.layers import SpatialStep
from hssl.layers.sizes import check_size, output_size, total_stride

_PAPER_STREAMS = 6


class MLP(Backbone):
    """Linear layers of (784, 1024, 2048) outputs, BatchNorm and ReLU after each; 2048 is read as 16 rows of 128.

    Table 2: 'we simply reshape the 2048 dimensional output to (16, 128), and select one of the 16 rows'.
    z is [B, 128, 16].
    """

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
                arrived=f"in_channels {in_channels}, resolution {resolution}",
            )
        self.in_channels, self.resolution, self.rows = in_channels, resolution, rows
        self.channels = scaled(128, width)
        self.group = self.feature_group = Unstructured(rows, images_by or Translations())
        sizes = [in_channels * resolution**2, scaled(784, width), scaled(1024, width), rows * self.channels]
        self.layers = nn.Sequential(nn.Flatten())
        for before, after in pairwise(sizes):
            self.layers.extend([nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU()])

    def spatial_steps(self) -> Sequence[SpatialStep]:
        return ()

    def maps(self, images: Tensor) -> Tensor:
        out: Tensor = self.layers(images)
        return out.reshape(len(out), self.rows, self.channels).transpose(1, 2)


class _PlainBackbone(Backbone):
    """Plain convolutions whose output is `streams` times wider and read as [B, C, streams, H, W]."""

    def __init__(self, in_channels: int, images_by: Group | None, streams: int) -> None:
        super().__init__()
        if in_channels < 1:
            raise ConfigurationError("images have at least one channel", arrived=f"in_channels {in_channels}")
        self.in_channels = in_channels
        self.group = Unstructured(streams, images_by or Scales((1.0,)))

    def _bind(self, resolution: int) -> None:
        steps = self.spatial_steps()
        check_size(steps, resolution, self.group, type(self).__name__)
        self.resolution = resolution
        size = output_size(steps, resolution)
        self.feature_group = Product(self.group, Translations((size, size), stride=total_stride(steps)))

    def _as_streams(self, values: Tensor) -> Tensor:
        return values.reshape(len(values), self.group.order, self.channels, *values.shape[2:]).transpose(1, 2)


class PlainThreeLayer(_PlainBackbone):
    """The three-layer network with unconstrained kernels, the 'CNN (6 x CHW)' of table 2.

    Its output is six times wider and a sixth of it is drawn as a 'fiber': z is [B, 128, 6, 8, 8].
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        resolution: int = 32,
        width: float = 1.0,
        images_by: Group | None = None,
        streams: int = _PAPER_STREAMS,
    ) -> None:
        super().__init__(in_channels, images_by, streams)
        first, second, self.channels = (scaled(channels, width) for channels in (32, 64, 128))
        out = streams * self.channels
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, first, 11, padding=5, bias=False), nn.BatchNorm2d(first), nn.ReLU(),
            nn.Conv2d(first, second, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(second), nn.ReLU(),
            nn.Conv2d(second, out, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
        )  # fmt: skip
        self._bind(resolution)

    def spatial_steps(self) -> Sequence[SpatialStep]:
        return (
            SpatialStep("layers.0", 11, 1, 5),
            SpatialStep("layers.3", 7, 2, 3),
            SpatialStep("layers.6", 7, 2, 3),
        )

    def maps(self, images: Tensor) -> Tensor:
        return self._as_streams(self.layers(images))


class _PlainBlock(nn.Module):
    """`BasicBlock` with unconstrained kernels on plain maps [B, C, H, W]; the output may be wider than the inside."""

    def __init__(self, in_channels: int, inside: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, inside, 7, stride=stride, padding=3, bias=False)
        self.norm2 = nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, out_channels, 7, padding=3, bias=False)
        changes = stride != 1 or in_channels != out_channels
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False) if changes else None
        self.relu, self.stride = nn.ReLU(), stride

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, O, H', W']."""
        a = self.relu(self.norm1(x))
        out = self.conv2(self.relu(self.norm2(self.conv1(a))))
        # As `PointwiseConv2d.rows`: the positions first.
        kept = a[..., :: self.stride, :: self.stride]
        return (x if self.shortcut is None else self.shortcut(kept)) + out  # type: ignore[no-any-return]


class PlainResNet20(_PlainBackbone):
    """The CIFAR-10 residual network with unconstrained kernels, six times wider at its end: z is [B, 512, 6, 7, 7]."""

    def __init__(
        self,
        *,
        in_channels: int = 3,
        resolution: int = 28,
        width: float = 1.0,
        images_by: Group | None = None,
        streams: int = _PAPER_STREAMS,
    ) -> None:
        super().__init__(in_channels, images_by, streams)
        lifted, stem = scaled(9, width), scaled(64, width)
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, lifted, 7, padding=3, bias=False),
            nn.Conv2d(lifted, stem, 7, padding=3, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
        )
        widths = [scaled(channels, width) for channels in (128, 256, 512)]
        self.channels = widths[-1]
        blocks: list[_PlainBlock] = []
        channels = stem
        for stage, (inside, stride) in enumerate(zip(widths, (1, 2, 2), strict=True)):
            for index in range(3):
                last = stage == 2 and index == 2
                out = streams * inside if last else inside
                blocks.append(_PlainBlock(channels, inside, out, stride if index == 0 else 1))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self._bind(resolution)

    def spatial_steps(self) -> Sequence[SpatialStep]:
        steps = [SpatialStep("stem.0", 7, 1, 3), SpatialStep("stem.1", 7, 1, 3)]
        for index, block in enumerate(self.blocks):
            assert isinstance(block, _PlainBlock)
            stride = block.conv1.stride[0]
            steps += [SpatialStep(f"blocks.{index}.conv1", 7, stride, 3), SpatialStep(f"blocks.{index}.conv2", 7, 1, 3)]
        return steps

    def maps(self, images: Tensor) -> Tensor:
        return self._as_streams(self.blocks(self.stem(images)))
