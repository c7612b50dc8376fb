"""Dense convolutions in C, for maps of few channels.

Libraries put channels into vectors: 3 or 9 of them fill 16 lanes badly. The kernels of `dense_convolution.c` put images
there, of which a batch has enough. `torch.nn.functional.conv2d` is their slow twin.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from hssl.kernels.native.loader import Geometry, compiled, run

_LAST = torch.channels_last
# Fewer images leave vectors or threads without work.
_FEWEST = 32
# Bytes of the sums that the gradient of a kernel is made of, which must stay in a core's cache.
_SUMS = 2**20
_VECTOR_BYTES = 64


def pays(in_channels: int, out_channels: int, size: int, images: int) -> bool:
    """Whether compiled kernels beat a library's, for a k x k convolution of so many images."""
    return images >= _FEWEST and in_channels * out_channels * size**2 * _VECTOR_BYTES <= _SUMS


class DenseConvolution:
    """The convolution of one stream by dense kernels.

    Args:
        kernel: [O, C, k, k], float32 or float64, on the CPU.
        stride, padding: of the convolution, in pixels.
    """

    def __init__(self, kernel: Tensor, stride: int, padding: int) -> None:
        self._kernel, self._stride, self._padding = kernel, stride, padding
        self._size = kernel.shape[-1]

    def convolve(self, maps: Tensor, target: Tensor, rectify: bool) -> None:
        """Write the convolution of maps [n, C, H, W], or of their positive part, to `target` [n, O, H', W']."""
        maps, planes = _laid_out(maps)
        outs, channels, size, _ = self._kernel.shape
        together = _outs(outs)
        blocks = -(-outs // together)
        # [blocks, k, k, C, OUTS]: a vector of the maps meets the weights of OUTS channels side by side.
        arranged = self._kernel.new_zeros((blocks * together, size, size, channels))
        arranged[:outs] = self._kernel.permute(0, 2, 3, 1)
        arranged = arranged.unflatten(0, (blocks, together)).movedim(1, -1).contiguous()  # type: ignore[no-untyped-call]
        out = target if target.is_contiguous(memory_format=_LAST) else torch.empty_like(target, memory_format=_LAST)
        run(self._compiled().convolve, maps, out, arranged, self._geometry(maps), size, outs, planes, int(rectify))
        if out is not target:
            target.copy_(out)

    def differentiate(
        self, maps: Tensor, d_out: Tensor, d_kernel: Tensor, target: Tensor | None, rectify: bool
    ) -> None:
        """Add the gradient of the kernel to `d_kernel` [O, C, k, k], and write that of the maps to `target`."""
        (maps, planes), d_out = _laid_out(maps), d_out.contiguous(memory_format=_LAST)
        outs, channels, size, _ = self._kernel.shape
        parts = maps.new_empty((torch.get_num_threads(), outs, size, size, channels))
        kernels = self._compiled().differentiate_kernels
        run(kernels, maps, d_out, parts, self._geometry(maps), size, outs, planes, int(rectify))
        d_kernel.add_(parts.sum(dim=0).permute(0, 3, 1, 2))
        if target is None:
            return
        back = size - 1 - self._padding
        if self._stride == 1 and back >= 0:
            # Correlated back: the kernel turned by half, its channels exchanged.
            turned = self._kernel.flip(2, 3).transpose(0, 1)
            DenseConvolution(turned, 1, back).convolve(d_out, target, rectify=False)
        else:
            d_maps, _, _ = torch.ops.aten.convolution_backward(
                d_out, maps, self._kernel, None, (self._stride,) * 2, (self._padding,) * 2,
                (1, 1), False, (0, 0), 1, (True, False, False),
            )  # fmt: skip
            target.copy_(d_maps)
        if rectify:
            # Not a product with the mask: an infinite gradient times zero is no number.
            target.masked_fill_(maps <= 0, 0)

    def _compiled(self) -> ctypes.CDLL:
        outs, channels, size, _ = self._kernel.shape
        dtype = self._kernel.dtype
        macros = {"REAL_BYTES": dtype.itemsize, "OUTS": _outs(outs), "TAPS": _taps(size * channels)}
        return compiled("dense_convolution.c", dtype, **macros)

    def _geometry(self, maps: Tensor) -> Geometry:
        count, channels, height, width = maps.shape
        outs = [(extent + 2 * self._padding - self._size) // self._stride + 1 for extent in (height, width)]
        return Geometry(count, height, width, channels, self._stride, self._padding, *outs)


def _laid_out(maps: Tensor) -> tuple[Tensor, int]:
    """Maps in one of the two orders that the kernels read, and whether it is channels-first."""
    if maps.is_contiguous() and maps.shape[1] > 1:
        return maps, 1
    return maps.contiguous(memory_format=_LAST), 0


def _outs(channels: int) -> int:
    """How many output channels to work off together: at most 9, and as few left over as may be."""
    return min(range(9, 0, -1), key=lambda together: -(-channels // together) * together)


def _taps(taps: int) -> int:
    """How many points of a kernel's row to sum together, likewise: from 5 to 9 of them."""
    return min(range(9, 4, -1), key=lambda together: -(-taps // together) * together)
