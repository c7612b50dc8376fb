"""Dense convolutions of few channels as matrix products, for devices that multiply matrices.

A kernel that slides along W is a Toeplitz matrix from the pixels of k lines to all outputs of a line. It multiplies W/k
times as much as the convolution, but with matrices as large as a matrix product wants them, where one to three channels
leave the units of a convolution idle. `torch.nn.functional.conv2d` is the slow twin.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.layers.banded import ALIGNED

# With more channels convolutions fill their units, and a line's matrix grows with the square of the channels.
_MOST_CHANNELS = 4


def pays(in_channels: int) -> bool:
    """Whether matrix products beat a library's convolution on a GPU."""
    return in_channels <= _MOST_CHANNELS


class ToeplitzConvolution:
    """The convolution of one stream by dense kernels.

    Args:
        kernel: [O, C, k, k].
        size: (H, W) of the maps in pixels.
        stride, padding: of the convolution, in pixels.
    """

    def __init__(self, kernel: Tensor, size: tuple[int, int], stride: int, padding: int) -> None:
        self._kernel, self._stride, self._padding = kernel, stride, padding
        taps = kernel.shape[-1]
        # Zeros behind each line up to an aligned length.
        self._height, self._width = size[0], size[1] + -size[1] % ALIGNED
        self._seen = size[1]
        self._out = tuple((extent + 2 * padding - taps) // stride + 1 for extent in size)
        self._places = _places(taps, size[1], self._width, stride, padding, kernel.device)

    def convolve(self, maps: Tensor, target: Tensor, rectify: bool) -> None:
        """Write the convolution of maps [n, C, H, W], or of their positive part, to `target` [n, O, H', W']."""
        lines = self._lines(maps, rectify) @ self._matrix()
        target.copy_(lines.reshape(len(maps), *self._out, -1).permute(0, 3, 1, 2))

    def differentiate(
        self, maps: Tensor, d_out: Tensor, d_kernel: Tensor, target: Tensor | None, rectify: bool
    ) -> None:
        """Add the gradient of the kernel to `d_kernel` [O, C, k, k], and write that of the maps to `target`."""
        outs, channels, taps, _ = self._kernel.shape
        gradient = d_out.permute(0, 2, 3, 1).reshape(len(maps) * self._out[0], -1)
        d_matrix = (self._lines(maps, rectify).T @ gradient).to(d_kernel.dtype)
        # [k, W, C, W', O] -> [W W', k C O], added up over the places where one tap stands.
        parts = d_matrix.reshape(taps, self._width, channels, self._out[1], outs).permute(1, 3, 0, 2, 4)
        stands = torch.arange(taps, device=maps.device)[:, None] == self._places.flatten()
        sums = stands.to(parts.dtype) @ parts.reshape(stands.shape[1], -1)
        d_kernel.add_(sums.reshape(taps, taps, channels, outs).permute(3, 2, 1, 0))
        if target is None:
            return
        d_lines = (gradient @ self._matrix().T).reshape(len(maps), self._out[0], taps, self._width, channels)
        d_maps = d_lines.new_zeros(len(maps), self._height + 2 * self._padding, self._width, channels)
        for tap in range(taps):
            d_maps[:, tap : tap + self._stride * (self._out[0] - 1) + 1 : self._stride].add_(d_lines[:, :, tap])
        d_maps = d_maps[:, self._padding : self._padding + self._height, : self._seen].permute(0, 3, 1, 2)
        # Not a product with the mask: an infinite gradient times zero is no number.
        target.copy_(d_maps.masked_fill(maps <= 0, 0) if rectify else d_maps)

    def _lines(self, maps: Tensor, rectify: bool) -> Tensor:
        """The k lines of pixels that each line of outputs reads: [n, C, H, W] -> [n H', k W C]."""
        values = (F.relu(maps) if rectify else maps).permute(0, 2, 3, 1)
        values = F.pad(values, (0, 0, 0, self._width - self._seen, self._padding, self._padding)).flatten(2)
        return values.unfold(1, self._kernel.shape[-1], self._stride).transpose(2, 3).reshape(-1, self._rows)

    @property
    def _rows(self) -> int:
        return self._kernel.shape[-1] * self._width * self._kernel.shape[1]

    def _matrix(self) -> Tensor:
        """[k W C, W' O]."""
        spread = F.pad(self._kernel, (0, 1))[..., self._places]
        # [O, C, k, W, W'] -> [k, W, C, W', O]
        return spread.permute(2, 3, 1, 4, 0).reshape(self._rows, -1)


@lru_cache(maxsize=256)
def _places(taps: int, width: int, aligned: int, stride: int, padding: int, device: torch.device) -> Tensor:
    """Which tap of a line joins each pixel to each output, `taps` where none does: int64 [aligned width, W']."""
    outputs = (width + 2 * padding - taps) // stride + 1
    pixels = torch.arange(aligned)[:, None]
    place = pixels - stride * torch.arange(outputs) + padding
    return place.masked_fill((place < 0) | (place >= taps) | (pixels >= width), taps).to(device)
