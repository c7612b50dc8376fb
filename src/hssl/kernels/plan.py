"""How a steerable convolution is computed: four plans with the same result, chosen by shape.

- `direct`: dense k x k kernels, one convolution a stream.
- `cropped`: the same without the rim of zeros around the kernels of the smaller scales.
- `separable`: one-dimensional filters and a 1x1 convolution (`hssl.kernels.compiled_filters` and `.separable`).
- `fourier`: the same with its products in the Fourier domain along W (`hssl.kernels.fourier`): fewer multiplications,
  and weights of its own for every frequency, which pay where many rows share them.

`plain` is the formulation that all of them are compared with: dense kernels of all streams, built anew, and one grouped
convolution of all streams of an image.

The cost model counts multiplications and the values that pass through memory. Its rates for a CPU were fitted to
timings, forward and backward, on two cores with AVX-512. `measured` times the plans on the spot instead, once for each
layer shape and order of magnitude of rows (powers of two), and keeps the fastest. On a GPU `auto` does that too, since
no count of operations foretells which kernel a library chooses; the rates for it, a guess, serve where nothing can be
timed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from hssl.kernels.dense_convolution import is_faster
from hssl.kernels.native.loader import compiled_filters_exist

Plan = Literal["direct", "cropped", "separable", "fourier"]
PlanChoice = Literal["auto", "measured", "plain", "direct", "cropped", "separable", "fourier"]
PLANS: tuple[Plan, ...] = get_args(Plan)
PLAN_CHOICES: tuple[PlanChoice, ...] = get_args(PlanChoice)


@dataclass(frozen=True)
class ConvolutionShape:
    """What decides the cost of one row of a steerable convolution.

    Attributes:
        in_channels, out_channels, kernel_size, effective_size, stride: of the layer.
        support: points about the centre of this stream's kernels that are not zero, at most kernel_size.
        in_size: (H, W) of the input in pixels.
        out_size: (H', W') of the output in pixels.
        padding: of the k x k convolution, in pixels.
        rows: how many rows share the filters.
    """

    in_channels: int
    out_channels: int
    kernel_size: int
    effective_size: int
    stride: int
    support: int
    in_size: tuple[int, ...]
    out_size: tuple[int, ...]
    padding: int
    rows: int


@dataclass(frozen=True)
class Rates:
    """Rates of one kind of device, forward and backward together.

    Attributes:
        dense: multiply-adds a second of a dense convolution with large maps.
        small_maps: the same where the kernel is as large as the map or larger.
        narrow: the same of few channels, where compiled kernels pay (`hssl.kernels.dense_convolution`).
        mixing: multiply-adds a second of a 1x1 convolution.
        filtering: values a second through all passes of one-dimensional filtering.
        products: multiply-adds a second of the products in the Fourier domain.
        transforms: multiply-adds a second of the transforms to it and from it.
        weights: values a second of weights for frequencies, made and differentiated.
    """

    dense: float
    small_maps: float
    narrow: float
    mixing: float
    filtering: float
    products: float
    transforms: float
    weights: float


CPU_RATES = Rates(
    dense=100e9,
    small_maps=60e9,
    narrow=180e9,
    mixing=100e9,
    filtering=1.2e9,
    products=80e9,
    transforms=40e9,
    weights=6e9,
)
# Filtered by torch's convolutions, where there are no compiled filters.
CPU_RATES_OF_TORCH = replace(CPU_RATES, narrow=100e9, filtering=0.4e9, transforms=2e9)
# A guess: tensor cores make multiplications cheap beside memory, so that filtering pays at wide layers.
GPU_RATES = Rates(
    dense=150e12,
    small_maps=150e12,
    narrow=150e12,
    mixing=200e12,
    filtering=0.2e12,
    products=200e12,
    transforms=0.5e12,
    weights=0.1e12,
)


def rates_for(maps: Tensor) -> Rates:
    """Those of the device that the maps lie on."""
    if maps.device.type != "cpu":
        return GPU_RATES
    return CPU_RATES if compiled_filters_exist(maps) else CPU_RATES_OF_TORCH


def seconds(plan: Plan, shape: ConvolutionShape, rates: Rates) -> float:
    """Estimated time of one row, forward and backward (three times the multiplications of a forward pass)."""
    height, out_height, out_width = shape.in_size[0], *shape.out_size
    channels, e = shape.in_channels, shape.effective_size
    pairs = channels * shape.out_channels
    if plan == "fourier":
        # Without their rim of zeros, as `separable` filters are too.
        padding = shape.padding - (shape.kernel_size - shape.support) // 2
        width = shape.in_size[1] - 2 * max(0, -padding)
        length = width + max(0, padding)
        products = (3 * length - 1) // 2
        transforms = 3 * _apart(channels) * length * (height * width + e * shape.support * out_height)
        transforms += 2 * _apart(shape.out_channels) * length * out_height * out_width
        return (
            3 * pairs * products * e * out_height / rates.products
            + transforms / rates.transforms
            + 3 * pairs * products * e / shape.rows / rates.weights
        )
    positions = out_height * out_width
    if plan == "separable":
        filtered = e * channels * (height * out_width + e * positions)
        return 3 * pairs * positions * e**2 / rates.mixing + filtered / rates.filtering
    size = shape.kernel_size if plan == "direct" else shape.support
    rate = rates.small_maps if size >= min(shape.in_size) else rates.dense
    if is_faster(channels, shape.out_channels, size, shape.rows):
        rate = max(rate, rates.narrow)
    return 3 * pairs * positions * size**2 / rate


def _apart(channels: int) -> int:
    """What compiled transforms of so many channels cost: vectors are as wide as divides the channels."""
    return channels * 16 // math.gcd(channels, 16)


def cheapest(shape: ConvolutionShape, rates: Rates, possible: tuple[Plan, ...] = PLANS) -> Plan:
    """The plan that the cost model takes to be the fastest; equal costs go to the earlier one."""
    best = possible[0]
    # Not `min` with a key, which breaks a compiled graph.
    for plan in possible[1:]:
        if seconds(plan, shape, rates) < seconds(best, shape, rates):
            best = plan
    return best


_fastest: dict[tuple[object, ...], Plan] = {}


def fastest(
    key: tuple[object, ...], run: Callable[[Plan], Tensor], possible: tuple[Plan, ...], repeats: int = 3
) -> Plan:
    """The plan whose `run` (a forward pass that can be differentiated) measured fastest, remembered by `key`."""
    if key not in _fastest:
        best: dict[Plan, float] = {}
        with torch.enable_grad():
            for _ in range(repeats):
                for plan in possible:
                    _wait()
                    start = time.perf_counter()
                    out = run(plan)
                    out.backward(torch.ones_like(out))  # type: ignore[no-untyped-call]
                    _wait()
                    best[plan] = min(best.get(plan, float("inf")), time.perf_counter() - start)
        _fastest[key] = min(possible, key=best.__getitem__)
    return _fastest[key]


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
