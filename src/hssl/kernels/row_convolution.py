"""The convolution of rows that lie stream after stream, block by block: dense kernels, one-dimensional filters, or
products in the Fourier domain.

Rows are worked off in blocks that stay in the cache, and what a block needs beside its input is made in the forward
pass and again in the backward pass, never kept: the rectified input, and for one-dimensional filters maps or spectra
that are several times larger than it. Blocks are channels-last: convolutions run fastest there on a CPU.

The slow twin is the plain formulation: `SteerableConv2d.kernels` and one grouped convolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.kernels import toeplitz
from hssl.kernels.banded import BandedFilters, multiplies_matrices
from hssl.kernels.compiled_filters import CompiledFilters
from hssl.kernels.dense_convolution import DenseConvolution, pays
from hssl.kernels.fourier import CompiledFourierFilters, FourierFilters, Workspace
from hssl.kernels.native.loader import compiled_filters_exist
from hssl.kernels.separable import SeparableFilters
from hssl.kernels.toeplitz import ToeplitzConvolution

Form = Literal["dense", "separable", "fourier"]
_FORMS: tuple[Form, ...] = get_args(Form)
_Filters = SeparableFilters | CompiledFilters | BandedFilters | FourierFilters

# Bytes of the maps of one block. On a CPU a block and what is made from it should stay in its caches.
_BLOCK_BYTES = {"cpu": 4 * 2**20}
_BLOCK_BYTES_ELSEWHERE = 2**29
# Every block makes the weights of all products anew: those that are not there for one block alone are worth more.
_FOURIER_BLOCK_BYTES = {"cpu": 32 * 2**20}

_LAST = torch.channels_last


def row_convolution(
    rows: Tensor,
    functions: Tensor,
    counts: Sequence[int],
    supports: Sequence[int],
    forms: Sequence[Form],
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
        forms: how a stretch is computed: by `dense` kernels, by one-dimensional filters (`separable`), or by those
            with products in the Fourier domain (`fourier`).
        mix: [O, e, e, C], the weight with n (along H) before m (along W); None where all stretches are dense.
        kernels: [O, C, S, k, k]; None where none is.
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
        [_FORMS.index(form) for form in forms],
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
    forms: list[int],
    stride: int,
    padding: int,
    rectify: bool,
) -> Tensor:
    out = _blank_output(rows, functions, mix, kernels, stride, padding)
    weights = _Weights(mix)
    together = _together(rows, functions, kernels, counts, forms, stride, padding)
    if isinstance(together, BandedFilters):
        together.convolve(rows, weights.of(together), out, rectify)
        return out
    if together is not None:
        together.convolve(rows, out, rectify)
        return out
    for stretch in _stretches(rows, functions, kernels, counts, supports, forms, stride, padding, out):
        for part in stretch.parts:
            maps, target = stretch.crop(rows[part]), out[part]
            if stretch.dense is not None:
                stretch.dense.convolve(maps, target, rectify)
            elif stretch.filters is None:
                block = F.relu(maps) if rectify else maps
                found = F.conv2d(last_if_one(block), stretch.kernel, stride=stride, padding=stretch.padding)
                if len(found) == len(out) and found.stride() == out.stride():
                    return found  # all there is
                target.copy_(found)
            else:
                stretch.filters.convolve(maps, weights.of(stretch.filters), target, rectify)
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
    forms: list[int],
    stride: int,
    padding: int,
    rectify: bool,
    wants_rows: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    # Sums over blocks keep float32 digits whatever the precision of the maps.
    precision = torch.promote_types(rows.dtype, torch.float32)
    d_rows = _blank_gradient(rows, functions, supports, padding) if wants_rows else rows.new_empty(0)
    d_kernels = torch.zeros_like(kernels, dtype=precision, memory_format=torch.contiguous_format)
    weights = _Weights(mix)
    together = _together(rows, functions, kernels, counts, forms, stride, padding)
    if together is not None:
        target = d_rows if wants_rows else None
        if isinstance(together, BandedFilters):
            weight, d_weight = weights.of(together), weights.gradient_of(together, precision)
            together.differentiate(rows, gradient, weight, d_weight, target, rectify)
        else:
            together.differentiate(rows, gradient, d_kernels, target, rectify)
        return d_rows, weights.gradient().to(mix.dtype), d_kernels.to(kernels.dtype)
    for stretch in _stretches(rows, functions, kernels, counts, supports, forms, stride, padding, gradient):
        for part in stretch.parts:
            maps = stretch.crop(rows[part])
            d_out = gradient[part].contiguous(memory_format=_LAST)
            target = stretch.crop(d_rows[part]) if wants_rows else None
            if stretch.filters is not None:
                weight, d_weight = weights.of(stretch.filters), weights.gradient_of(stretch.filters, precision)
                stretch.filters.differentiate(maps, d_out, weight, d_weight, target, rectify)
                continue
            if stretch.dense is not None:
                stretch.dense.differentiate(maps, d_out, stretch.crop_kernel(d_kernels), target, rectify)
                continue
            block = F.relu(maps) if rectify else maps
            d_block, d_kernel, _ = torch.ops.aten.convolution_backward(
                d_out, last_if_one(block), stretch.kernel, None, (stride, stride), (stretch.padding, stretch.padding),
                (1, 1), False, (0, 0), 1, (wants_rows, True, False),
            )  # fmt: skip
            stretch.crop_kernel(d_kernels).add_(d_kernel)
            if target is not None:
                # Not a product with the mask: an infinite gradient times zero is no number.
                target.copy_(d_block.masked_fill_(block <= 0, 0) if rectify else d_block)
    return d_rows, weights.gradient().to(mix.dtype), d_kernels.to(kernels.dtype)


@_forward.register_fake
def _(
    rows: Tensor,
    functions: Tensor,
    mix: Tensor,
    kernels: Tensor,
    counts: list[int],
    supports: list[int],
    forms: list[int],
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
    forms: list[int],
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


def _together(
    rows: Tensor,
    functions: Tensor,
    kernels: Tensor,
    counts: list[int],
    forms: list[int],
    stride: int,
    padding: int,
) -> BandedFilters | ToeplitzConvolution | None:
    """What computes all stretches at once, where that is matrix products: fewer calls keep a GPU busier."""
    if not multiplies_matrices(rows) or len(set(forms)) != 1 or not len(rows):
        return None
    form, size = _FORMS[forms[0]], (rows.shape[2], rows.shape[3])
    if form == "separable":
        return BandedFilters(functions, counts, size, stride, padding)
    if form == "dense" and toeplitz.pays(rows.shape[1]):
        return ToeplitzConvolution(kernels, counts, size, stride, padding)
    return None


class _Stretch:
    """The rows of one stream: how they are cut into blocks and which filters they see."""

    def __init__(self, stream: int, rim: int, padding: int) -> None:
        self.stream, self.rim = stream, rim
        self.parts: list[slice] = []
        self.padding, self.inset = max(0, padding - rim), max(0, rim - padding)
        self.filters: _Filters | None = None
        self.dense: DenseConvolution | None = None
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
    forms: list[int],
    stride: int,
    padding: int,
    outputs: Tensor,
) -> Iterator[_Stretch]:
    _, e, size = functions.shape
    _, channels, height, width = rows.shape
    out_channels, out_height, out_width = outputs.shape[1:]
    compiled = compiled_filters_exist(rows)
    workspace = Workspace()
    start = 0
    for stream, (count, support, form) in enumerate(zip(counts, supports, forms, strict=True)):
        rim = (size - support) // 2
        stretch = _Stretch(stream, rim, padding)
        limits, elsewhere = _BLOCK_BYTES, _BLOCK_BYTES_ELSEWHERE
        # The numbers that a row is made into, and those of a kernel.
        values, taps = channels * height * width, support**2
        floor = 4
        if _FORMS[form] == "dense":
            stretch.kernel = last_if_one(stretch.crop_kernel(kernels).contiguous(memory_format=_LAST))
            if compiled and pays(channels, out_channels, support, count):
                stretch.dense = DenseConvolution(stretch.kernel, stride, stretch.padding)
                values = 0  # it makes nothing beside its output: one block
        else:
            functions_s = functions[stream, :, rim : size - rim]
            taps, floor = e**2, 2
            if _FORMS[form] == "separable":
                # All filtered maps at once, or those of one axis.
                values = channels * e * out_width * (e * out_height if compiled else height)
                separable = CompiledFilters if compiled else SeparableFilters
                stretch.filters = separable(functions_s, channels, stride, stretch.padding)
            else:
                fourier = CompiledFourierFilters if compiled else FourierFilters
                inside = width - 2 * stretch.inset
                stretch.filters = fourier(functions_s, inside, stride, stretch.padding, workspace)
                limits = _FOURIER_BLOCK_BYTES
                values = stretch.filters.products * out_height * (e * channels + out_channels)
                taps = stretch.filters.products * e
        limit = limits.get(rows.device.type, elsewhere)
        # A kernel is read, and its gradient added, once a block: blocks must not be small beside it.
        least = floor * out_channels * channels * taps * rows.element_size()
        pieces = max(1, -(-count * max(1, values * rows.element_size()) // max(limit, least)))
        edges = [start + count * piece // pieces for piece in range(pieces + 1)]
        stretch.parts = [slice(one, other) for one, other in pairwise(edges) if other > one]
        start += count
        yield stretch


def last_if_one(maps: Tensor) -> Tensor:
    """Maps of one channel lie channels-first and channels-last at once; so strided they are taken for the latter."""
    channels, height, width = maps.shape[1:]
    if channels != 1 or not maps.is_contiguous():
        return maps
    return maps.as_strided(maps.shape, (height * width, 1, width, 1))


class _Weights:
    """The weight and its gradient as each kind of filters wants them."""

    def __init__(self, mix: Tensor) -> None:
        self._mix = mix
        self._arranged: dict[type[_Filters], Tensor] = {}
        self._gradients: dict[type[_Filters], Tensor] = {}

    def of(self, filters: _Filters) -> Tensor:
        kind = type(filters)
        if kind not in self._arranged:
            self._arranged[kind] = filters.arrange(self._mix)
        return self._arranged[kind]

    def gradient_of(self, filters: _Filters, dtype: torch.dtype) -> Tensor:
        """To be added to."""
        kind = type(filters)
        if kind not in self._gradients:
            self._gradients[kind] = torch.zeros_like(self.of(filters), dtype=dtype)
        return self._gradients[kind]

    def gradient(self) -> Tensor:
        """[O, e, e, C], the sum over all kinds; zero where nothing was added."""
        parts = [kind.gather(weights, self._mix.shape) for kind, weights in self._gradients.items()]
        if len(parts) == 1:
            return parts[0].contiguous()
        return sum(parts, torch.zeros_like(self._mix, memory_format=torch.contiguous_format))


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
