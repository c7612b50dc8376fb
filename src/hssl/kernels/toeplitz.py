"""Dense convolutions of few channels as matrix products, for devices that multiply matrices.

A kernel that slides along W is a Toeplitz matrix from the pixels of k lines to all outputs of a line. It multiplies W/k
times as much as the convolution, but with matrices as large as a matrix product wants them, where one to three channels
leave the units of a convolution idle. `torch.nn.functional.conv2d` is the slow twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.kernels.banded import ALIGNED, taps_met

# With more channels convolutions fill their units, and a line's matrix grows with the square of the channels.
_MOST_CHANNELS = 4


def is_faster(in_channels: int) -> bool:
    """Whether matrix products beat a library's convolution on a GPU."""
    return in_channels <= _MOST_CHANNELS


class ToeplitzConvolution:
    """The convolution of all streams by dense kernels, a matrix for each stream.

    Args:
        taps: k of the kernels.
        counts: rows of each stream; they follow one another.
        size: (H, W) of the maps in pixels.
        stride, padding: of the convolution, in pixels.
    """

    def __init__(self, taps: int, counts: Sequence[int], size: tuple[int, int], stride: int, padding: int) -> None:
        self._taps, self._stride, self._padding = taps, stride, padding
        # Zeros behind each line up to an aligned length.
        self._height, self._width = size[0], size[1] + -size[1] % ALIGNED
        self._seen = size[1]
        self._out = tuple((extent + 2 * padding - taps) // stride + 1 for extent in size)
        ends = [end * self._out[0] for end in accumulate(counts)]
        self._stretches = list(pairwise([0, *ends]))

    def convolve(self, maps: Tensor, kernels: Tensor, target: Tensor, rectify: bool) -> None:
        """Write the convolution of maps [R, C, H, W] by kernels [O, C, S, k, k] to `target` [R, O, H', W']."""
        lines, matrices = self._lines(maps, rectify), self._matrices(kernels)
        out = lines.new_empty(len(lines), matrices.shape[2])
        for (start, end), matrix in zip(self._stretches, matrices, strict=True):
            torch.mm(lines[start:end], matrix, out=out[start:end])
        target.copy_(out.reshape(len(maps), *self._out, -1).permute(0, 3, 1, 2))

    def differentiate(
        self, maps: Tensor, d_out: Tensor, kernels: Tensor, d_kernels: Tensor, target: Tensor | None, rectify: bool
    ) -> None:
        """Add the gradient of the kernels to `d_kernels` [O, C, S, k, k], and write that of the maps to `target`."""
        outs, channels, streams, taps, _ = kernels.shape
        gradient = d_out.permute(0, 2, 3, 1).reshape(len(maps) * self._out[0], -1)
        lines = self._lines(maps, rectify)
        d_matrices = lines.new_empty(streams, lines.shape[1], gradient.shape[1])
        for (start, end), d_matrix in zip(self._stretches, d_matrices, strict=True):
            torch.mm(lines[start:end].T, gradient[start:end], out=d_matrix)
        # [S, k, W, C, W', O] -> [W W', S k C O], added up over the places where one tap stands.
        shape = (streams, taps, self._width, channels, self._out[1], outs)
        parts = d_matrices.to(d_kernels.dtype).reshape(shape).permute(2, 4, 0, 1, 3, 5)
        stands = torch.arange(taps, device=maps.device)[:, None] == self._places(maps).flatten()
        sums = stands.to(parts.dtype) @ parts.reshape(stands.shape[1], -1)
        d_kernels.add_(sums.reshape(taps, streams, taps, channels, outs).permute(4, 3, 1, 2, 0))
        if target is None:
            return
        d_lines = torch.empty_like(lines)
        for (start, end), matrix in zip(self._stretches, self._matrices(kernels), strict=True):
            torch.mm(gradient[start:end], matrix.T, out=d_lines[start:end])
        d_lines = d_lines.reshape(len(maps), self._out[0], taps, self._width, channels)
        d_maps = d_lines.new_zeros(len(maps), self._height + 2 * self._padding, self._width, channels)
        for tap in range(taps):
            d_maps[:, tap : tap + self._stride * (self._out[0] - 1) + 1 : self._stride].add_(d_lines[:, :, tap])
        d_maps = d_maps[:, self._padding : self._padding + self._height, : self._seen].permute(0, 3, 1, 2)
        # Not a product with the mask: an infinite gradient times zero is no number.
        target.copy_(d_maps.masked_fill(maps <= 0, 0) if rectify else d_maps)

    def _lines(self, maps: Tensor, rectify: bool) -> Tensor:
        """The k lines of pixels that each line of outputs reads: [R, C, H, W] -> [R H', k W C]."""
        values = (F.relu(maps) if rectify else maps).permute(0, 2, 3, 1)
        values = F.pad(values, (0, 0, 0, self._width - self._seen, self._padding, self._padding)).flatten(2)
        return values.unfold(1, self._taps, self._stride).transpose(2, 3).reshape(len(maps) * self._out[0], -1)

    def _matrices(self, kernels: Tensor) -> Tensor:
        """[S, k W C, W' O]."""
        spread = F.pad(kernels, (0, 1))[..., self._places(kernels)]
        # [O, C, S, k, W, W'] -> [S, k, W, C, W', O]
        return spread.permute(2, 3, 4, 1, 5, 0).flatten(4).flatten(1, 3)

    def _places(self, like: Tensor) -> Tensor:
        return _places(self._taps, self._seen, self._stride, self._padding, like.device)


@lru_cache(maxsize=256)
def _places(taps: int, width: int, stride: int, padding: int, device: torch.device) -> Tensor:
    """Which tap of a line joins each pixel to each output, `taps` where none does: int64 [aligned width, W']."""
    return taps_met(taps, width, stride, padding).T.contiguous().to(device)
