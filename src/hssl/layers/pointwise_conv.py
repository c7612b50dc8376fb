"""Pointwise convolution: one 1x1 matrix shared over the group axis."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hssl.errors import ConfigurationError, SizeError
from hssl.groups import Group, GroupFeatures
from hssl.groups.features import Maps
from hssl.layers.plain import PlainConv2d
from hssl.layers.sizes import SpatialStep


class PointwiseConv2d(nn.Module):
    """z'_g = W z_g at every position: [B, C, G, H, W] -> [B, O, G, H', W']. Equivariant to any group; mixes no streams.

    Args:
        in_channels, out_channels: C and O; `weight` is [O, C, 1, 1].
        group: the group of the features.
        stride: every stride-th position is kept.
        bias: without one there is no parameter for it, so distributed training finds none without a gradient.
    """

    def __init__(self, in_channels: int, out_channels: int, group: Group, stride: int = 1, bias: bool = False) -> None:
        super().__init__()
        if min(in_channels, out_channels, stride) < 1:
            raise ConfigurationError(
                "a pointwise convolution needs at least one channel in and out and a stride of at least 1",
                got=f"in_channels {in_channels}, out_channels {out_channels}, stride {stride}",
            )
        self.in_channels, self.out_channels, self.group, self.stride = in_channels, out_channels, group, stride
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.uniform_(self.weight, -1 / math.sqrt(in_channels), 1 / math.sqrt(in_channels))

    def spatial_step(self, name: str, beside: bool = False) -> SpatialStep:
        """What this layer does to the size of a map, for the check at build time."""
        return SpatialStep(name, 1, self.stride, 0, beside)

    def forward(self, values: Maps) -> Maps:
        """Features, or a tensor [B, C, G, H, W] -> [B, O, G, H', W']."""
        if isinstance(values, GroupFeatures):
            made = self._rows(values.settled) if values.has_rows else self(values.settled)
            return values.replaced(made, self.stride)
        if values.ndim != 5 or values.shape[1] != self.in_channels or values.shape[2] != self.group.streams:
            raise SizeError(
                f"{self} takes features [batch, {self.in_channels}, {self.group.streams}, height, width]",
                got=f"a tensor of shape {tuple(values.shape)}",
            )
        # Either order of streams and images serves; the one that the features lie in saves a copy.
        if values.stride(2) > values.stride(0):
            rows = values.permute(2, 0, 1, 3, 4)
            out = self._rows(rows.flatten(0, 1))
            return out.reshape(*rows.shape[:2], *out.shape[1:]).permute(1, 2, 0, 3, 4)
        out = self._rows(values.transpose(1, 2).flatten(0, 1))
        return out.reshape(len(values), values.shape[2], *out.shape[1:]).transpose(1, 2)

    def _rows(self, values: Tensor) -> Tensor:
        """[R, C, H, W] -> [R, O, H', W']; every row sees the same matrix, whatever its stream."""
        # The positions are taken first: on a CPU the gradient of a strided 1x1 convolution of few channels writes
        # beside its memory where maps are large and channels lie last (seen with torch 2.13: runs crashed).
        if self.stride > 1:
            values = values[..., :: self.stride, :: self.stride]
        return F.conv2d(values, self.weight, self.bias)

    def materialize(self) -> PlainConv2d:
        """A plain convolution with the same output."""
        streams = self.group.streams
        return PlainConv2d.of(
            self.weight.repeat(streams, 1, 1, 1), self.bias, streams, streams, self.stride, padding=0, circular=False
        )

    def __repr__(self) -> str:
        stride = f", stride={self.stride}" if self.stride != 1 else ""
        return f"PointwiseConv2d({self.in_channels} -> {self.out_channels}, {self.group}{stride})"
