"""The convolution of rows that lie stream after stream, block by block: dense kernels or one-dimensional filters.

Rows are worked off in blocks that stay in the cache, and what a block needs beside its input is made in the forward
pass and again in the backward pass, never kept: the rectified input, and for separable filters maps that are e^2 times
larger than it. Blocks are channels-last: convolutions run fastest there on a CPU.

The slow twin is the plain formulation: `SteerableConv2d.kernels` and one grouped convolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.layers.compiled_filters import CompiledFilters, compiled_filters_exist
from hssl.layers.separable import SeparableFilters

# Bytes of the maps of one block. On a CPU a block and what is made from it should stay in its caches.
_BLOCK_BYTES = {"cpu": 4 * 2**20}
_BLOCK_BYTES_ELSEWHERE = 2**29

_LAST = torch.channels_last


def row_convolution(
    rows: Tensor,
    functions: Tensor,
    counts: Sequence[int],
    supports: Sequence[int],
    separable: Sequence[bool],
    *,
    mix: Tensor | None,
    kernels: Tensor | None,
    stride: int,
    padding: int,
    rectify: bool = False,
) -> Tensor:
    """The convolution of each stretch of rows with its own stream's filters.

    Args:
        rows: [R, C, H, W], stretch after stretch.
        functions: [S, e, k], the one-dimensional filters of each stretch.
        counts: rows of each stretch; they add up to R.
        supports: points about the centre of each stretch's filters that are computed; the others are zero.
        separable: whether a stretch is computed by one-dimensional filters (`mix`) or by dense kernels (`kernels`).
        mix: [O, e, e, C], the weight with n (along H) before m (along W); None where no stretch is separable.
        kernels: [O, C, S, k, k]; None where all are.
        stride, padding: of the dense k x k convolution.
        rectify: apply ReLU to the rows first.

    Returns:
        [R, O, H', W'], channels-last.
    """
    result: Tensor = _forward(
        rows,
        functions.to(rows.dtype),
        rows.new_empty(0) if mix is None else mix,
        rows.new_empty(0) if kernels is None else kernels,
        list(counts),
        list(supports),
        list(separable),
        stride,
        padding,
        rectify,
    )
    return result


@torch.library.custom_op("hssl::row_convolution", mutates_args=())
def _forward(
    rows: Tensor,
    functions: Tensor,
    mix: Tensor,
    kernels: Tensor,
    counts: list[int],
    supports: list[int],
    separable: list[bool],
    stride: int,
    padding: int,
    rectify: bool,
) -> Tensor:
    out = _blank_output(rows, functions, mix, kernels, stride, padding)
    mixing = _mixing_kernel(mix)
    for stretch in _stretches(rows, functions, kernels, counts, supports, separable, stride, padding, out):
        for part in stretch.parts:
            maps, target = stretch.crop(rows[part]), out[part]
            if stretch.filters is None:
                block = F.relu(maps) if rectify else maps
                target.copy_(F.conv2d(block, stretch.kernel, stride=stride, padding=stretch.padding))
            else:
                stretch.filters.convolve(maps, mixing, target, rectify)
    return out


@torch.library.custom_op("hssl::row_convolution_backward", mutates_args=())
def _backward(
    gradient: Tensor,
    rows: Tensor,
    functions: Tensor,
    mix: Tensor,
    kernels: Tensor,
    counts: list[int],
    supports: list[int],
    separable: list[bool],
    stride: int,
    padding: int,
    rectify: bool,
    wants_rows: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    # Sums over blocks keep float32 digits whatever the precision of the maps.
    precision = torch.promote_types(rows.dtype, torch.float32)
    d_rows = _blank_gradient(rows, functions, supports, padding) if wants_rows else rows.new_empty(0)
    d_kernels = torch.zeros_like(kernels, dtype=precision, memory_format=torch.contiguous_format)
    mixing = _mixing_kernel(mix)
    d_mixing = torch.zeros_like(mixing, dtype=precision)
    for stretch in _stretches(rows, functions, kernels, counts, supports, separable, stride, padding, gradient):
        for part in stretch.parts:
            maps = stretch.crop(rows[part])
            d_out = gradient[part].contiguous(memory_format=_LAST)
            target = stretch.crop(d_rows[part]) if wants_rows else None
            if stretch.filters is not None:
                stretch.filters.differentiate(maps, d_out, mixing, d_mixing, target, rectify)
                continue
            block = F.relu(maps) if rectify else maps
            d_block, d_kernel, _ = torch.ops.aten.convolution_backward(
                d_out, block, stretch.kernel, None, (stride, stride), (stretch.padding, stretch.padding),
                (1, 1), False, (0, 0), 1, (wants_rows, True, False),
            )  # fmt: skip
            stretch.crop_kernel(d_kernels).add_(d_kernel)
            if target is not None:
                target.copy_(d_block.mul_(block > 0) if rectify else d_block)
    return d_rows, d_mixing.to(mix.dtype).reshape(mix.shape), d_kernels.to(kernels.dtype)


@_forward.register_fake
def _(
    rows: Tensor,
    functions: Tensor,
    mix: Tensor,
    kernels: Tensor,
    counts: list[int],
    supports: list[int],
    separable: list[bool],
    stride: int,
    padding: int,
    rectify: bool,
) -> Tensor:
    return _blank_output(rows, functions, mix, kernels, stride, padding)


@_backward.register_fake
def _(
    gradient: Tensor,
    rows: Tensor,
    functions: Tensor,
    mix: Tensor,
    kernels: Tensor,
    counts: list[int],
    supports: list[int],
    separable: list[bool],
    stride: int,
    padding: int,
    rectify: bool,
    wants_rows: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    d_rows = torch.empty_like(rows, memory_format=_LAST) if wants_rows else rows.new_empty(0)
    return d_rows, mix.new_empty(mix.shape), kernels.new_empty(kernels.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    rows, functions, mix, kernels, *ctx.settings = inputs
    ctx.save_for_backward(rows, functions, mix, kernels)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    wants_rows, _, wants_mix, wants_kernels, *_ = ctx.needs_input_grad
    d_rows, d_mix, d_kernels = _backward(gradient, *ctx.saved_tensors, *ctx.settings, wants_rows)
    return (
        d_rows if wants_rows else None,
        None,
        d_mix if wants_mix else None,
        d_kernels if wants_kernels else None,
        *[None] * 6,
    )


_forward.register_autograd(_differentiate, setup_context=_keep)


class _Stretch:
    """The rows of one stream: how they are cut into blocks and which filters they see."""

    def __init__(self, stream: int, parts: list[slice], rim: int, padding: int) -> None:
        self.stream, self.parts, self.rim = stream, parts, rim
        self.padding, self.inset = max(0, padding - rim), max(0, rim - padding)
        self.filters: SeparableFilters | CompiledFilters | None = None
        self.kernel = torch.empty(0)

    def crop(self, maps: Tensor) -> Tensor:
        """The pixels that filters without their rim of zeros read."""
        inset = self.inset
        return maps[..., inset:-inset, inset:-inset] if inset else maps

    def crop_kernel(self, kernels: Tensor) -> Tensor:
        """This stream's kernel without its rim: [O, C, S, k, k] -> [O, C, k_s, k_s]."""
        size = kernels.shape[-1]
        return kernels[:, :, self.stream, self.rim : size - self.rim, self.rim : size - self.rim]


def _stretches(
    rows: Tensor,
    functions: Tensor,
    kernels: Tensor,
    counts: list[int],
    supports: list[int],
    separable: list[bool],
    stride: int,
    padding: int,
    outputs: Tensor,
) -> Iterator[_Stretch]:
    _, e, size = functions.shape
    _, channels, height, width = rows.shape
    limit = _BLOCK_BYTES.get(rows.device.type, _BLOCK_BYTES_ELSEWHERE)
    compiled = compiled_filters_exist(rows)
    start = 0
    for stream, (count, support) in enumerate(zip(counts, supports, strict=True)):
        rim = (size - support) // 2
        values = channels * height * width
        if separable[stream]:
            # The largest of what is made: all filtered maps at once, or those of one axis.
            along_w = e * channels * height * outputs.shape[-1]
            values = e**2 * channels * outputs.shape[-2] * outputs.shape[-1] if compiled else along_w
        bytes_a_row = max(1, values * rows.element_size())
        # A kernel is read, and its gradient added, once a block: blocks must not be small beside it.
        weights = outputs.shape[1] * channels * (e if separable[stream] else support) ** 2
        floor = (2 if separable[stream] else 4) * weights * rows.element_size()
        pieces = max(1, -(-count * bytes_a_row // max(limit, floor)))
        edges = [start + count * piece // pieces for piece in range(pieces + 1)]
        parts = [slice(one, other) for one, other in pairwise(edges) if other > one]
        stretch = _Stretch(stream, parts, rim, padding)
        if separable[stream]:
            functions_s = functions[stream, :, rim : size - rim]
            kind = CompiledFilters if compiled else SeparableFilters
            stretch.filters = kind(functions_s, channels, stride, stretch.padding)
        else:
            stretch.kernel = stretch.crop_kernel(kernels).contiguous(memory_format=_LAST)
        start += count
        yield stretch


def _mixing_kernel(mix: Tensor) -> Tensor:
    """[O, e, e, C] -> a 1x1 kernel [O, e^2 C, 1, 1], channels-last."""
    if not mix.numel():
        return mix
    kernel = torch.empty((len(mix), mix[0].numel(), 1, 1), dtype=mix.dtype, device=mix.device, memory_format=_LAST)
    return kernel.copy_(mix.flatten(1)[..., None, None])


def _blank_output(rows: Tensor, functions: Tensor, mix: Tensor, kernels: Tensor, stride: int, padding: int) -> Tensor:
    height, width = ((size + 2 * padding - functions.shape[-1]) // stride + 1 for size in rows.shape[-2:])
    channels = (mix if mix.numel() else kernels).shape[0]
    return torch.empty(
        (rows.shape[0], channels, height, width), dtype=rows.dtype, device=rows.device, memory_format=_LAST
    )


def _blank_gradient(rows: Tensor, functions: Tensor, supports: list[int], padding: int) -> Tensor:
    # What a crop does not read keeps a gradient of zero.
    unread = any((functions.shape[-1] - support) // 2 > padding for support in supports)
    return (torch.zeros_like if unread else torch.empty_like)(rows, memory_format=_LAST)
