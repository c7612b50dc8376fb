"""Dense convolutions by torch, and in C for maps of few channels.

Libraries put channels into vectors: 3 or 9 of them fill 16 lanes badly. The kernels of `dense_convolution.c` put images
there, of which a batch has enough. `LibraryConvolution` is their slow twin.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.kernels.native.loader import Geometry, channels_last, compiled, run

_LAST = torch.channels_last
# Fewer images leave vectors or threads without work.
_FEWEST = 32
# Bytes of the sums that the gradient of a kernel is made of, which must stay in a core's cache.
_SUMS = 2**20
_VECTOR_BYTES = 64


def is_faster(in_channels: int, out_channels: int, size: int, images: int) -> bool:
    """Whether compiled kernels beat a library's, for a k x k convolution of so many images."""
    return images >= _FEWEST and in_channels * out_channels * size**2 * _VECTOR_BYTES <= _SUMS


class LibraryConvolution:
    """The convolution of one stream by torch's kernels.

    Args:
        stride, padding: of the convolution, in pixels.
    """

    def __init__(self, stride: int, padding: int) -> None:
        self._stride, self._padding = stride, padding

    def of(self, maps: Tensor, kernel: Tensor, rectify: bool) -> Tensor:
        """Maps [n, C, H, W], or their positive part, by a kernel [O, C, k, k] -> [n, O, H', W']."""
        block = last_if_one(F.relu(maps) if rectify else maps)
        return F.conv2d(block, kernel, stride=self._stride, padding=self._padding)

    def convolve(self, maps: Tensor, kernel: Tensor, target: Tensor, rectify: bool) -> None:
        """Write the same to `target` [n, O, H', W']."""
        target.copy_(self.of(maps, kernel, rectify))

    def differentiate(
        self, maps: Tensor, d_out: Tensor, kernel: Tensor, d_kernel: Tensor, target: Tensor | None, rectify: bool
    ) -> None:
        """Add the gradient of the kernel to `d_kernel` [O, C, k, k], and write that of the maps to `target`."""
        block = F.relu(maps) if rectify else maps
        mask = (target is not None, True, False)
        d_block, found, _ = _gradients(d_out, last_if_one(block), kernel, self._stride, self._padding, mask)
        d_kernel.add_(found)
        if target is not None:
            # Not a product with the mask: an infinite gradient times zero is no number.
            target.copy_(d_block.masked_fill_(block <= 0, 0) if rectify else d_block)


class DenseConvolution:
    """The same in C: float32 or float64, on the CPU.

    Args:
        stride, padding: of the convolution, in pixels.
    """

    def __init__(self, stride: int, padding: int) -> None:
        self._stride, self._padding = stride, padding

    def convolve(self, maps: Tensor, kernel: Tensor, target: Tensor, rectify: bool) -> None:
        """Write the convolution of maps [n, C, H, W], or of their positive part, to `target` [n, O, H', W']."""
        maps, planes = _laid_out(maps)
        outs, channels, size, _ = kernel.shape
        together = _outs(outs)
        blocks = -(-outs // together)
        # [blocks, k, k, C, OUTS]: a vector of the maps meets the weights of OUTS channels side by side.
        arranged = kernel.new_zeros((blocks * together, size, size, channels))
        arranged[:outs] = kernel.permute(0, 2, 3, 1)
        arranged = arranged.unflatten(0, (blocks, together)).movedim(1, -1).contiguous()  # type: ignore[no-untyped-call]
        geometry = Geometry.of(maps, size, self._stride, self._padding)
        with channels_last(target) as out:
            run(_compiled(kernel).convolve, maps, out, arranged, geometry, size, outs, planes, int(rectify))

    def differentiate(
        self, maps: Tensor, d_out: Tensor, kernel: Tensor, d_kernel: Tensor, target: Tensor | None, rectify: bool
    ) -> None:
        """Add the gradient of the kernel to `d_kernel` [O, C, k, k], and write that of the maps to `target`."""
        (maps, planes), d_out = _laid_out(maps), d_out.contiguous(memory_format=_LAST)
        outs, channels, size, _ = kernel.shape
        parts = maps.new_empty((torch.get_num_threads(), outs, size, size, channels))
        geometry = Geometry.of(maps, size, self._stride, self._padding)
        of_kernels = _compiled(kernel).differentiate_kernels
        run(of_kernels, maps, d_out, parts, geometry, size, outs, planes, int(rectify))
        d_kernel.add_(parts.sum(dim=0).permute(0, 3, 1, 2))
        if target is None:
            return
        back = size - 1 - self._padding
        if self._stride == 1 and back >= 0:
            # Correlated back: the kernel turned by half, its channels exchanged.
            DenseConvolution(1, back).convolve(d_out, kernel.flip(2, 3).transpose(0, 1), target, rectify=False)
        else:
            mask = (True, False, False)
            target.copy_(_gradients(d_out, maps, kernel, self._stride, self._padding, mask)[0])
        if rectify:
            # Not a product with the mask: an infinite gradient times zero is no number.
            target.masked_fill_(maps <= 0, 0)


def last_if_one(maps: Tensor) -> Tensor:
    """Maps of one channel lie channels-first and channels-last at once; so strided they are taken for the latter."""
    channels, height, width = maps.shape[1:]
    if channels != 1 or not maps.is_contiguous():
        return maps
    return maps.as_strided(maps.shape, (height * width, 1, width, 1))


def _gradients(
    d_out: Tensor, maps: Tensor, kernel: Tensor, stride: int, padding: int, mask: tuple[bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Of maps, kernel and bias, those that the mask asks for."""
    return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
        d_out, maps, kernel, None, (stride,) * 2, (padding,) * 2, (1, 1), False, (0, 0), 1, mask
    )


def _compiled(kernel: Tensor) -> ctypes.CDLL:
    outs, channels, size, _ = kernel.shape
    macros = {"REAL_BYTES": kernel.dtype.itemsize, "OUTS": _outs(outs), "TAPS": _taps(size * channels)}
    return compiled("dense_convolution.c", kernel.dtype, **macros)


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
