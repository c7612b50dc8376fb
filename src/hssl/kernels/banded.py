"""One-dimensional filters as matrix products: what `hssl.kernels.separable` does, for devices that multiply matrices.

Filtering a line is a product with a banded matrix. Most of its entries are zero, yet tensor cores get through all of
them sooner than a depthwise convolution reads its input. `SeparableFilters` is the slow twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

ALIGNED = 8
"""Extents of matrices are multiples of this: tensor cores read 16 bytes at a time, in half precision too."""


def multiplies_matrices(maps: Tensor) -> bool:
    """Whether matrix products are what the device of these maps is best at: any but a CPU."""
    return maps.device.type != "cpu"


class BandedFilters:
    """The filters of all streams as banded matrices along W and along H, then 1x1 products.

    Streams share the weight of the 1x1 products, so all rows pass them together.

    Args:
        functions: [S, e, k].
        counts: rows of each stream; they follow one another.
        size: (H, W) of the maps in pixels.
        stride, padding: of the k x k convolution.
    """

    def __init__(
        self, functions: Tensor, counts: Sequence[int], size: tuple[int, int], stride: int, padding: int
    ) -> None:
        _, e, taps = functions.shape
        self._size = size
        self._out = tuple((extent + 2 * padding - taps) // stride + 1 for extent in size)
        # A last column of zeros stands for every point outside of the filter.
        flat = F.pad(functions, (0, 1)).flatten(1)
        height, width = (flat[:, _places(e, taps, extent, stride, padding, functions.device)] for extent in size)
        # [R, e, H', H]: a row's own matrices.
        self._along_h = torch.cat([one.expand(count, -1, -1, -1) for one, count in zip(height, counts, strict=True)])
        # [S, W' e, W]: a position's e values lie side by side.
        self._along_w = width.transpose(1, 2).flatten(1, 2)
        ends = list(accumulate(counts))
        self._stretches = [slice(end - count, end) for end, count in zip(ends, counts, strict=True) if count]
        self._streams = [stream for stream, count in enumerate(counts) if count]

    @staticmethod
    def arrange(mix: Tensor) -> Tensor:
        """[O, n, m, C] -> for each n a matrix over m and C: [e, e C, O]."""
        return mix.permute(1, 2, 3, 0).flatten(1, 2).contiguous()

    @staticmethod
    def gather(weights: Tensor, shape: torch.Size) -> Tensor:
        """The adjoint of `arrange`: [e, e C, O] -> [O, n, m, C]."""
        _, e, _, channels = shape
        return weights.unflatten(1, (e, channels)).permute(3, 0, 1, 2)  # type: ignore[no-untyped-call,no-any-return]

    def convolve(self, maps: Tensor, mixing: Tensor, target: Tensor, rectify: bool) -> None:
        """Write the convolution of maps [R, C, H, W] by `mixing` [e, e C, O] to `target` [R, O, H', W']."""
        along_w = self._filter_w(self._by_position(maps, rectify))
        out: Tensor | None = None
        for index, weight in enumerate(mixing):
            filtered = self._filter_h(along_w, index)
            out = filtered @ weight if out is None else out.addmm_(filtered, weight)
        assert out is not None
        target.copy_(out.reshape(len(maps), *self._out, -1).permute(0, 3, 1, 2))

    def differentiate(
        self, maps: Tensor, d_out: Tensor, mixing: Tensor, d_mixing: Tensor, target: Tensor | None, rectify: bool
    ) -> None:
        """Add the gradient of `mixing` to `d_mixing`, and write that of the maps to `target`."""
        values = self._by_position(maps, rectify)
        count = len(values)
        along_w = self._filter_w(values)
        gradient = d_out.permute(0, 2, 3, 1).reshape(-1, d_out.shape[1])
        d_along_w = torch.zeros_like(along_w) if target is not None else None
        for index, weight in enumerate(mixing):
            d_mixing[index].add_(self._filter_h(along_w, index).T @ gradient)
            if d_along_w is not None:
                d_filtered = (gradient @ weight.T).reshape(count, self._out[0], -1)
                d_along_w.baddbmm_(self._along_h[:, index].transpose(1, 2), d_filtered)
        if target is None or d_along_w is None:
            return
        d_maps = torch.empty_like(values)
        for stream, rows in zip(self._streams, self._stretches, strict=True):
            lines = d_maps[rows].flatten(0, 1)
            back = self._along_w[stream].T.expand(len(lines), -1, -1)
            torch.bmm(back, d_along_w[rows].reshape(len(lines), back.shape[2], -1), out=lines)
        if rectify:
            # Not a product with the mask: an infinite gradient times zero is no number.
            d_maps.masked_fill_(values <= 0, 0)
        height, width = self._size
        target.copy_(d_maps[:, :height, :width].permute(0, 3, 1, 2))

    def _by_position(self, maps: Tensor, rectify: bool) -> Tensor:
        """[R, C, H, W] -> [R, H, W, C], with zeros after H and W up to what is aligned."""
        beyond = [-extent % ALIGNED for extent in self._size]
        values = maps.permute(0, 2, 3, 1)
        if any(beyond):
            values = F.pad(values, (0, 0, 0, beyond[1], 0, beyond[0]))
            return F.relu_(values) if rectify else values
        return (F.relu(values) if rectify else values).contiguous()

    def _filter_w(self, values: Tensor) -> Tensor:
        """[R, H, W, C] -> [R, H, W' e C]."""
        count, height, _, channels = values.shape
        out = values.new_empty(count, height, self._along_w.shape[1], channels)
        for stream, rows in zip(self._streams, self._stretches, strict=True):
            lines = values[rows].flatten(0, 1)
            torch.bmm(self._along_w[stream].expand(len(lines), -1, -1), lines, out=out[rows].flatten(0, 1))
        return out.flatten(2)

    def _filter_h(self, along_w: Tensor, index: int) -> Tensor:
        """Function n along H: [R, H, W' e C] -> [R H' W', e C]."""
        out = torch.bmm(self._along_h[:, index], along_w)
        return out.reshape(-1, out.shape[2] // self._out[1])


@lru_cache(maxsize=256)
def _places(e: int, taps: int, extent: int, stride: int, padding: int, device: torch.device) -> Tensor:
    """Which tap of a flat [e, taps + 1] meets each pixel for each output: int64 [e, outputs, extent and some zeros]."""
    place = taps_met(taps, extent, stride, padding)
    return (place + (taps + 1) * torch.arange(e)[:, None, None]).to(device)


def taps_met(taps: int, extent: int, stride: int, padding: int) -> Tensor:
    """Which tap joins each output of a line to each pixel, `taps` where none does: int64 [outputs, aligned extent]."""
    outputs = torch.arange((extent + 2 * padding - taps) // stride + 1)[:, None]
    pixels = torch.arange(extent + -extent % ALIGNED)
    place = pixels - stride * outputs + padding
    return place.masked_fill((place < 0) | (place >= taps) | (pixels >= extent), taps)
