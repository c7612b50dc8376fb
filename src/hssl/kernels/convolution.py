"""One steerable convolution of rows that lie stream after stream, each stream by the plan that its shape wants.

`hssl.kernels.plan` says what the plans are and which is the fastest, `hssl.kernels.row_convolution` computes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.kernels import toeplitz
from hssl.kernels.banded import multiplies_matrices
from hssl.kernels.dense_convolution import is_faster, last_if_one
from hssl.kernels.native.loader import compiled_filters_exist
from hssl.kernels.plan import PLANS, ConvolutionShape, Plan, PlanChoice, cheapest, fastest, rates_for
from hssl.kernels.row_convolution import Form, row_convolution

_FORMS: dict[Plan, Form] = {"direct": "dense", "cropped": "dense", "separable": "separable", "fourier": "fourier"}


class StreamConvolution:
    """The filters of each stretch of rows, and what is convolved with them.

    Args:
        functions: [S, e, k], the one-dimensional filters of each stretch.
        supports: points about the centre of each stretch's filters that are not zero.
        counts: rows of each stretch.
        mix: makes the weight [O, e, e, C], n (along H) before m (along W); asked where filters are one-dimensional.
        kernels: makes the dense filters [O, C, S, k, k]; asked where they are not.
        out_channels, stride, padding: of the dense k x k convolution.
        separable: whether the dense filters are the functions' products, neither turned nor mirrored.
    """

    def __init__(
        self,
        functions: Tensor,
        supports: Sequence[int],
        counts: Sequence[int],
        mix: Callable[[], Tensor],
        kernels: Callable[[], Tensor],
        *,
        out_channels: int,
        stride: int,
        padding: int,
        separable: bool,
    ) -> None:
        self._functions, self._supports, self._counts = functions, supports, counts
        self._mix, self._kernels, self._separable = mix, kernels, separable
        self._out_channels, self._stride, self._padding = out_channels, stride, padding
        self._size = functions.shape[-1]

    def __call__(self, rows: Tensor, choice: PlanChoice, rectify: bool = False) -> Tensor:
        """Rows [R, C, H, W], or their positive part where `rectify` is set -> [R, O, H', W']."""
        plans = self._plans(rows, choice)
        forms = {_FORMS[plan] for plan in plans}
        mix = self._mix().to(rows.dtype) if forms - {"dense"} else None
        kernels = self._kernels().to(rows.dtype) if "dense" in forms else None
        alone = plans == ["direct"] and not rectify and not _is_narrow(rows, self._out_channels, self._size)
        if kernels is not None and alone:
            # Nothing to make for it: no blocks, and memory in whatever order it comes.
            kernel = last_if_one(kernels[:, :, 0])
            return F.conv2d(last_if_one(rows), kernel, stride=self._stride, padding=self._padding)
        return self._convolve(rows, plans, self._counts, mix, kernels, rectify)

    def _convolve(
        self,
        rows: Tensor,
        plans: list[Plan],
        counts: Sequence[int],
        mix: Tensor | None,
        kernels: Tensor | None,
        rectify: bool = False,
    ) -> Tensor:
        supports = [self._size if plan == "direct" else one for plan, one in zip(plans, self._supports, strict=True)]
        forms = [_FORMS[plan] for plan in plans]
        return row_convolution(
            rows, self._functions, counts, supports, forms,
            mix=mix, kernels=kernels, stride=self._stride, padding=self._padding, rectify=rectify,
        )  # fmt: skip

    def _plans(self, rows: Tensor, choice: PlanChoice) -> list[Plan]:
        """The plan of each stretch."""
        counts = self._counts
        if choice in PLANS:
            return [self._nearest(choice, rows)] * len(counts)
        possible = PLANS[:2]
        if self._separable:
            # Transforms by torch are for machines where nothing else is asked for.
            possible = PLANS[: 4 if compiled_filters_exist(rows) else 3]
        shapes = [self._shape(rows, *stretch) for stretch in zip(self._supports, counts, strict=True)]
        products = multiplies_matrices(rows)
        # No model foretells which convolution a GPU's library chooses.
        timed = choice == "measured" or (choice == "auto" and products)
        # A trial runs backward too, which neither a graph being traced nor inference mode can.
        timed &= not torch.compiler.is_compiling() and not torch.is_inference_mode_enabled()
        if not timed or not len(rows):
            return [cheapest(shape, rates_for(rows), possible) for shape in shapes]
        if products:
            # All streams pass together there, where they have one plan.
            return [self._fastest(rows, counts, shapes[0], possible)] * len(counts)
        plans = []
        for stretch, (shape, count) in enumerate(zip(shapes, counts, strict=True)):
            alone = [count if stretch == other else 0 for other in range(len(counts))]
            plans.append(
                self._fastest(rows[:count], alone, shape, possible)
                if count
                else cheapest(shape, rates_for(rows), possible)
            )
        return plans

    def _nearest(self, choice: Plan, rows: Tensor) -> Plan:
        """The plan that was asked for, or the nearest to it that there is."""
        # Sums of products are rounded too coarsely in half precision.
        if choice == "fourier" and rows.dtype not in (torch.float32, torch.float64):
            choice = "separable"
        return choice if self._separable or choice in PLANS[:2] else "cropped"

    def _shape(self, rows: Tensor, support: int, count: int) -> ConvolutionShape:
        size, padding, extents = self._size, self._padding, tuple(rows.shape[-2:])
        return ConvolutionShape(
            rows.shape[1], self._out_channels, size, self._functions.shape[1], self._stride, support,
            extents, tuple((extent + 2 * padding - size) // self._stride + 1 for extent in extents),
            padding, max(1, count),
        )  # fmt: skip

    def _fastest(
        self, rows: Tensor, counts: Sequence[int], shape: ConvolutionShape, possible: tuple[Plan, ...]
    ) -> Plan:
        """By a trial of all of these rows, which are as `counts` has them."""
        # Counts that hardly differ share a trial: the last batch of an epoch must not start one.
        about = 1 << (len(rows) - 1).bit_length()
        apart = rows.detach().requires_grad_(rows.requires_grad)

        def trial(plan: Plan) -> Tensor:
            # Leaves of their own: a trial must leave nothing in the weight's gradient, nor wake what waits for it.
            dense = _FORMS[plan] == "dense"
            leaf = (self._kernels() if dense else self._mix()).detach().to(rows.dtype).requires_grad_()
            plans = [plan] * len(counts)
            return self._convolve(apart, plans, counts, None if dense else leaf, leaf if dense else None)

        key = (
            replace(shape, rows=about), sum(count > 0 for count in counts), tuple(self._supports), rows.dtype,
            rows.device, torch.get_num_threads(), rows.requires_grad,
        )  # fmt: skip
        return fastest(key, trial, possible)


def apart_is_faster(images: Tensor, out_channels: int, size: int, *, aligned: bool, cropped: bool) -> bool:
    """Whether streams that all read the same images are convolved faster apart than by one dense convolution.

    On a CPU where filters are the basis itself (`aligned`) and have rims of zeros to leave out (`cropped`) or are
    compiled for few channels, on a GPU where few channels make matrix products faster.
    """
    if multiplies_matrices(images):
        return toeplitz.is_faster(images.shape[1])
    return aligned and (cropped or _is_narrow(images, out_channels, size))


def _is_narrow(maps: Tensor, out_channels: int, size: int) -> bool:
    """Whether maps [R, C, H, W] are convolved by compiled dense kernels."""
    return compiled_filters_exist(maps) and is_faster(maps.shape[1], out_channels, size, len(maps))
