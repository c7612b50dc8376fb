"""The one-dimensional filters in C: all e^2 filtered maps in one pass.

A convolution of torch makes one pass over the maps for every function and axis. The kernels in `separable_filters.c`
make all e^2 filtered maps of a pixel at once while its surroundings are in the cache, as one matrix [positions, e^2 C],
so that a steerable convolution is this pass and one matrix product. `hssl.kernels.separable` is their slow twin.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.kernels.native.loader import Geometry, channels_last, kernels, run
from hssl.kernels.separable import SeparableFilters

_LAST = torch.channels_last


class CompiledFilters:
    """The filters of one stream, as `hssl.kernels.separable.SeparableFilters` has them, but all of them in one pass.

    Args:
        functions: [e, k], float32 or float64.
        channels: C of the maps that are filtered.
        stride, padding: of the k x k convolution.
    """

    arrange = staticmethod(SeparableFilters.arrange)
    gather = staticmethod(SeparableFilters.gather)

    def __init__(self, functions: Tensor, channels: int, stride: int, padding: int) -> None:
        e, size = functions.shape
        self._functions = functions.contiguous()
        self._channels, self._stride, self._padding = channels, stride, padding
        self._e, self._size = e, size
        self._kernels = kernels("separable_filters.c", functions.dtype, channels, e, size)

    def filtered(self, maps: Tensor, rectify: bool) -> Tensor:
        """[n, C, H, W] -> [n, e^2 C, H', W'], n before m before c; of the positive part where `rectify` is set."""
        maps = maps.contiguous(memory_format=_LAST)
        geometry = Geometry.of(maps, self._size, self._stride, self._padding)
        shape = (geometry.images, self._e**2 * self._channels, geometry.out_height, geometry.out_width)
        out = torch.empty(shape, dtype=maps.dtype, memory_format=_LAST)
        run(self._kernels.filter_maps, maps, out, self._functions, geometry, int(rectify))
        return out

    def convolve(self, maps: Tensor, mixing: Tensor, target: Tensor, rectify: bool) -> None:
        """Write the convolution of maps [n, C, H, W] by `mixing` [O, e^2 C, 1, 1] to `target` [n, O, H', W']."""
        target.copy_(F.conv2d(self.filtered(maps, rectify), mixing))

    def differentiate(
        self, maps: Tensor, d_out: Tensor, mixing: Tensor, d_mixing: Tensor, target: Tensor | None, rectify: bool
    ) -> None:
        """Add the gradient of `mixing` to `d_mixing`, and write that of the maps to `target`."""
        maps = maps.contiguous(memory_format=_LAST)
        d_filtered, d_weight, _ = torch.ops.aten.convolution_backward(
            d_out, self.filtered(maps, rectify), mixing, None,
            (1, 1), (0, 0), (1, 1), False, (0, 0), 1, (target is not None, True, False),
        )  # fmt: skip
        d_mixing.add_(d_weight)
        if target is None:
            return
        geometry = Geometry.of(maps, self._size, self._stride, self._padding)
        d_filtered = d_filtered.contiguous(memory_format=_LAST)
        with channels_last(target) as d_maps:
            run(self._kernels.filter_gradients, d_filtered, d_maps, maps, self._functions, geometry, int(rectify))
