"""What a steerable layer becomes when it is materialised: one plain `torch.nn.Conv2d` and a change of layout."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class PlainConv2d(nn.Module):
    """A plain convolution on group features; the streams are blocks of its channels, stream after stream.

    [B, C, H, W] or [B, C, G, H, W] -> [B, O, G, H', W'].
    """

    def __init__(self, conv: nn.Conv2d, streams: int, circular_padding: int = 0) -> None:
        super().__init__()
        self.conv = conv
        self.streams = streams
        self.circular_padding = circular_padding

    def forward(self, values: Tensor) -> Tensor:
        if values.ndim == 5:
            values = values.transpose(1, 2).flatten(1, 2)
        if self.circular_padding:
            values = F.pad(values, (self.circular_padding,) * 4, mode="circular")
        out: Tensor = self.conv(values)
        return out.reshape(len(out), self.streams, -1, *out.shape[2:]).transpose(1, 2)
