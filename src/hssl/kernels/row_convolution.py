"""The convolution of rows that lie stream after stream, block by block: dense kernels, one-dimensional filters, or
products in the Fourier domain.

Rows are worked off in blocks that stay in the cache, and what a block needs beside its input is made in the forward
pass and again in the backward pass, never kept: the rectified input, and for one-dimensional filters maps or spectra
that are several times larger than it. Blocks are channels-last: convolutions run fastest there on a CPU.

The slow twin is the plain formulation: `SteerableConv2d.kernels` and one grouped convolution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from hssl.kernels import toeplitz
from hssl.kernels.banded import BandedFilters, multiplies_matrices
from hssl.kernels.compiled_filters import CompiledFilters
from hssl.kernels.dense_convolution import DenseConvolution, LibraryConvolution, is_faster, last_if_one
from hssl.kernels.fourier import CompiledFourierFilters, FourierFilters, Workspace
from hssl.kernels.native.loader import compiled_filters_exist
from hssl.kernels.separable import SeparableFilters
from hssl.kernels.toeplitz import ToeplitzConvolution

Form = Literal["dense", "separable", "fourier"]
_FORMS: tuple[Form, ...] = get_args(Form)
_Filters = SeparableFilters | CompiledFilters | BandedFilters | FourierFilters
_Dense = LibraryConvolution | DenseConvolution | ToeplitzConvolution

# Bytes of the maps of one block. On a CPU a block and what is made from it should stay in its caches.
_BLOCK_BYTES = {"cpu": 4 * 2**20}
_BLOCK_BYTES_ELSEWHERE = 2**29
# Every block makes the weights of all products anew: those that are not there for one block alone are worth more.
_FOURIER_BLOCK_BYTES = {"cpu": 32 * 2**20}

_LAST = torch.channels_last


class Settings(NamedTuple):
    """What an operator takes beside tensors; as one list of integers, so that its signature stays short.

    Attributes:
        counts, supports: as in `row_convolution`.
        forms: indices of the forms' names.
        stride, padding, rectify: as in `row_convolution`.
    """

    counts: Sequence[int]
    supports: Sequence[int]
    forms: Sequence[int]
    stride: int
    padding: int
    rectify: bool

    def packed(self) -> list[int]:
        """All of them in one list."""
        return [self.stride, self.padding, int(self.rectify), *self.counts, *self.supports, *self.forms]

    @classmethod
    def unpack(cls, packed: list[int]) -> Settings:
        """What `packed` made a list of."""
        (stride, padding, rectify), rest = packed[:3], packed[3:]
        each = len(rest) // 3
        return cls(rest[:each], rest[each : 2 * each], rest[2 * each :], stride, padding, bool(rectify))


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
    settings = Settings(counts, supports, [_FORMS.index(form) for form in forms], stride, padding, rectify)
    mix, kernels = (rows.new_empty(0) if one is None else one for one in (mix, kernels))
    result: Tensor = _forward(rows, functions.to(rows.dtype), mix, kernels, settings.packed())
    return result


@torch.library.custom_op("hssl::row_convolution", mutates_args=())
def _forward(rows: Tensor, functions: Tensor, mix: Tensor, kernels: Tensor, packed: list[int]) -> Tensor:
    settings = Settings.unpack(packed)
    out = _blank_output(rows, functions, mix, kernels, settings)
    weights = _Weights(mix, kernels)
    for stretch in _stretches(rows, functions, settings, out):
        weight = weights.of(stretch)
        for part in stretch.parts:
            maps, target = stretch.crop(rows[part]), out[part]
            if isinstance(stretch.form, LibraryConvolution) and len(maps) == len(out):
                found = stretch.form.of(maps, weight, settings.rectify)
                if found.stride() == out.stride():
                    return found  # all there is
                target.copy_(found)
            else:
                stretch.form.convolve(maps, weight, target, settings.rectify)
    return out


@torch.library.custom_op("hssl::row_convolution_backward", mutates_args=())
def _backward(
    gradient: Tensor,
    rows: Tensor,
    functions: Tensor,
    mix: Tensor,
    kernels: Tensor,
    packed: list[int],
    wants_rows: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    settings = Settings.unpack(packed)
    d_rows = _blank_gradient(rows, functions, settings) if wants_rows else rows.new_empty(0)
    weights = _Weights(mix, kernels)
    for stretch in _stretches(rows, functions, settings, gradient):
        weight, d_weight = weights.of(stretch), weights.gradient_of(stretch)
        for part in stretch.parts:
            maps, d_out = stretch.crop(rows[part]), gradient[part].contiguous(memory_format=_LAST)
            target = stretch.crop(d_rows[part]) if wants_rows else None
            stretch.form.differentiate(maps, d_out, weight, d_weight, target, settings.rectify)
    return d_rows, *weights.gradients()


@_forward.register_fake
def _(rows: Tensor, functions: Tensor, mix: Tensor, kernels: Tensor, packed: list[int]) -> Tensor:
    return _blank_output(rows, functions, mix, kernels, Settings.unpack(packed))


@_backward.register_fake
def _(
    gradient: Tensor,
    rows: Tensor,
    functions: Tensor,
    mix: Tensor,
    kernels: Tensor,
    packed: list[int],
    wants_rows: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    d_rows = torch.empty_like(rows, memory_format=_LAST) if wants_rows else rows.new_empty(0)
    return d_rows, mix.new_empty(mix.shape), kernels.new_empty(kernels.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *operands, ctx.packed = inputs
    ctx.save_for_backward(*operands)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    wants_rows, _, wants_mix, wants_kernels, _ = ctx.needs_input_grad
    d_rows, d_mix, d_kernels = _backward(gradient, *ctx.saved_tensors, ctx.packed, wants_rows)
    return (
        d_rows if wants_rows else None,
        None,
        d_mix if wants_mix else None,
        d_kernels if wants_kernels else None,
        None,
    )


_forward.register_autograd(_differentiate, setup_context=_keep)


@dataclass
class _Stretch:
    """Rows of one stream, or of all streams at once: the blocks they are cut into and what convolves them.

    Attributes:
        form: what convolves.
        parts: the blocks.
        stream: whose rows they are; None for all streams together, whose filters keep their rims.
        rim: points of zeros around this stream's filters.
        inset: pixels at the edge of the maps that filters without their rim do not read.
    """

    form: _Filters | _Dense
    parts: list[slice]
    stream: int | None = None
    rim: int = 0
    inset: int = 0

    def crop(self, maps: Tensor) -> Tensor:
        """The pixels that filters without their rim of zeros read."""
        inset = self.inset
        return maps[..., inset:-inset, inset:-inset] if inset else maps

    def crop_kernel(self, kernels: Tensor) -> Tensor:
        """This stream's kernel without its rim: [O, C, S, k, k] -> [O, C, k_s, k_s]; all of them where it is none's."""
        inside = slice(self.rim, kernels.shape[-1] - self.rim)
        return kernels if self.stream is None else kernels[:, :, self.stream, inside, inside]


def _stretches(rows: Tensor, functions: Tensor, settings: Settings, outputs: Tensor) -> Iterator[_Stretch]:
    counts, supports, forms, stride, padding, _ = settings
    _, e, size = functions.shape
    _, channels, height, width = rows.shape
    out_channels, out_height, out_width = outputs.shape[1:]
    if multiplies_matrices(rows) and len(set(forms)) == 1 and len(rows):
        # Matrix products take all stretches at once: fewer calls keep a GPU busier.
        form = _FORMS[forms[0]]
        if form == "separable":
            yield _Stretch(BandedFilters(functions, counts, (height, width), stride, padding), [slice(None)])
            return
        if form == "dense" and toeplitz.is_faster(channels):
            yield _Stretch(ToeplitzConvolution(size, counts, (height, width), stride, padding), [slice(None)])
            return
    compiled = compiled_filters_exist(rows)
    workspace = Workspace()
    start = 0
    for stream, (count, support, index) in enumerate(zip(counts, supports, forms, strict=True)):
        if not count:
            continue
        rim = (size - support) // 2
        outside, inset = max(0, padding - rim), max(0, rim - padding)
        functions_s = functions[stream, :, rim : size - rim]
        limits = _BLOCK_BYTES
        computed: _Filters | _Dense
        # `values` are the numbers that a row is made into, `taps` those of a kernel.
        if _FORMS[index] == "dense":
            narrow = compiled and is_faster(channels, out_channels, support, count)
            computed = (DenseConvolution if narrow else LibraryConvolution)(stride, outside)
            # What is compiled makes nothing beside its output: one block.
            values, taps, floor = 0 if narrow else channels * height * width, support**2, 4
        elif _FORMS[index] == "separable":
            computed = (CompiledFilters if compiled else SeparableFilters)(functions_s, channels, stride, outside)
            # All filtered maps at once, or those of one axis.
            values, taps, floor = channels * e * out_width * (e * out_height if compiled else height), e**2, 2
        else:
            fourier = CompiledFourierFilters if compiled else FourierFilters
            computed = fourier(functions_s, width - 2 * inset, stride, outside, workspace)
            limits = _FOURIER_BLOCK_BYTES
            values = computed.products * out_height * (e * channels + out_channels)
            taps, floor = computed.products * e, 2
        limit = limits.get(rows.device.type, _BLOCK_BYTES_ELSEWHERE)
        # A kernel is read, and its gradient added, once a block: blocks must not be small beside it.
        least = floor * out_channels * channels * taps * rows.element_size()
        pieces = max(1, -(-count * max(1, values * rows.element_size()) // max(limit, least)))
        edges = [start + count * piece // pieces for piece in range(pieces + 1)]
        parts = [slice(one, other) for one, other in pairwise(edges) if other > one]
        start += count
        yield _Stretch(computed, parts, stream, rim, inset)


class _Weights:
    """The weight, the dense kernels and their gradients as each form wants them."""

    def __init__(self, mix: Tensor, kernels: Tensor) -> None:
        self._mix, self._kernels = mix, kernels
        self._arranged: dict[type[_Filters], Tensor] = {}
        self._gradients: dict[type[_Filters], Tensor] = {}
        # Sums over blocks keep digits of float32 whatever the precision of the maps.
        precision = torch.promote_types(kernels.dtype, torch.float32)
        self._d_kernels = torch.zeros_like(kernels, dtype=precision, memory_format=torch.contiguous_format)

    def of(self, stretch: _Stretch) -> Tensor:
        """What convolves the stretch, to be read."""
        form = stretch.form
        if isinstance(form, _Dense):
            kernel = stretch.crop_kernel(self._kernels)
            return kernel if stretch.stream is None else last_if_one(kernel.contiguous(memory_format=_LAST))
        if type(form) not in self._arranged:
            self._arranged[type(form)] = form.arrange(self._mix)
        return self._arranged[type(form)]

    def gradient_of(self, stretch: _Stretch) -> Tensor:
        """Its gradient, to be added to."""
        form = stretch.form
        if isinstance(form, _Dense):
            return stretch.crop_kernel(self._d_kernels)
        if type(form) not in self._gradients:
            self._gradients[type(form)] = torch.zeros_like(self._arranged[type(form)], dtype=self._d_kernels.dtype)
        return self._gradients[type(form)]

    def gradients(self) -> tuple[Tensor, Tensor]:
        """Of the weight [O, e, e, C], the sum over all forms, and of the kernels; zero where nothing was added."""
        parts = [form.gather(weights, self._mix.shape) for form, weights in self._gradients.items()]
        zeros = torch.zeros_like(self._mix, memory_format=torch.contiguous_format)
        d_mix = parts[0].contiguous() if len(parts) == 1 else sum(parts, zeros)
        return d_mix.to(self._mix.dtype), self._d_kernels.to(self._kernels.dtype)


def _blank_output(rows: Tensor, functions: Tensor, mix: Tensor, kernels: Tensor, settings: Settings) -> Tensor:
    taps, stride, padding = functions.shape[-1], settings.stride, settings.padding
    height, width = ((size + 2 * padding - taps) // stride + 1 for size in rows.shape[-2:])
    channels = (mix if mix.numel() else kernels).shape[0]
    return torch.empty(
        (rows.shape[0], channels, height, width), dtype=rows.dtype, device=rows.device, memory_format=_LAST
    )


def _blank_gradient(rows: Tensor, functions: Tensor, settings: Settings) -> Tensor:
    # What a crop does not read keeps a gradient of zero.
    unread = any((functions.shape[-1] - support) // 2 > settings.padding for support in settings.supports)
    return (torch.zeros_like if unread else torch.empty_like)(rows, memory_format=_LAST)
