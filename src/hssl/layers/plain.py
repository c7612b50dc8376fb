"""What a steerable layer becomes when it is materialised: one plain `torch.nn.Conv2d` and a change of layout."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hssl.errors import SizeError
from hssl.groups import GroupFeatures
from hssl.groups.features import Maps
from hssl.layers.sizes import SpatialStep


class PlainConv2d(nn.Module):
    """A plain convolution on group features; the streams are blocks of its channels, stream after stream.

    [B, C, H, W] or [B, C, G, H, W] -> [B, O, G, H', W'].
    """

    def __init__(self, conv: nn.Conv2d, streams: int, circular_padding: int = 0) -> None:
        super().__init__()
        self.conv = conv
        self.streams = streams
        self.circular_padding = circular_padding

    @classmethod
    def of(
        cls, kernels: Tensor, bias: Tensor | None, streams: int, groups: int, stride: int, padding: int, circular: bool
    ) -> PlainConv2d:
        """The convolution by kernels [streams * O, C, k, k], with one bias [O] for all streams."""
        conv = nn.Conv2d(
            kernels.shape[1] * groups, kernels.shape[0], kernels.shape[-1], stride, 0 if circular else padding,
            groups=groups, bias=bias is not None, device=kernels.device, dtype=kernels.dtype,
        )  # fmt: skip
        with torch.no_grad():
            conv.weight.copy_(kernels)
            if bias is not None and conv.bias is not None:
                conv.bias.copy_(bias.repeat(streams))
        return cls(conv, streams, padding if circular else 0)

    def spatial_step(self, name: str, beside: bool = False) -> SpatialStep:
        """What this layer does to the size of a map; the same as the layer it was made from."""
        padding = self.circular_padding or int(self.conv.padding[0])
        return SpatialStep(name, self.conv.kernel_size[0], self.conv.stride[0], padding, beside)

    def forward(self, values: Maps) -> Maps:
        """Features, or a tensor [B, C, G, H, W] or [B, C, H, W] -> [B, O, G, H', W'].

        Raises:
            SizeError: features whose rows lie stream after stream.
        """
        if isinstance(values, GroupFeatures):
            if values.has_rows and not values.layout.interleaved:
                raise SizeError("a materialised layer takes rows image after image", got=values.layout)
            made = self._rows(values.settled) if values.has_rows else self(values.settled)
            return values.replaced(made, self.conv.stride[0])
        rows = self._rows(values.transpose(1, 2) if values.ndim == 5 else values)
        return rows.reshape(len(values), self.streams, *rows.shape[1:]).transpose(1, 2)

    def _rows(self, values: Tensor) -> Tensor:
        """Rows image after image with all their streams, or images: -> [B*G, O, H', W']."""
        values = values.reshape(-1, self.conv.in_channels, *values.shape[-2:])
        if self.circular_padding:
            values = pad_circular(values, self.circular_padding)
        out: Tensor = self.conv(values)
        return out.reshape(len(out) * self.streams, out.shape[1] // self.streams, *out.shape[2:])


def pad_circular(values: Tensor, padding: int) -> Tensor:
    """Wrap maps [..., H, W] around by `padding` pixels on each side, more than once where the map is smaller."""
    height, width = values.shape[-2:]
    if padding <= min(height, width):
        return F.pad(values, (padding,) * 4, mode="circular")
    rows = torch.arange(-padding, height + padding, device=values.device) % height
    columns = torch.arange(-padding, width + padding, device=values.device) % width
    return values[..., rows[:, None], columns]
