"""A separable steerable convolution with its products in the Fourier domain along W.

Along one axis of N pixels a filter of effective size e costs e N products with the weight if each of its e functions is
applied apart. But all functions are convolutions, and a convolution is one complex product for each frequency of a
circle of L = N + padding pixels, the rim of zeros shared by both ends. Two real coefficients of a frequency, c + i d,
times a + i b, where a and b are sums over the weights of all functions, are three real products:

    p = (a + b) c,   q = a (d - c),   r = b (c + d);   the result is (p - r) + i (p + q)

(Gauss). That is 3/2 L products, whatever e is, each of them a matrix product over channels and over the e functions
along H, which stay as they are. With e = 3 and 28 pixels that are 46 products where there were 84.

The results are the same up to rounding: transforms of this kind are orthogonal up to a factor. The rounding of a pixel
is relative to its whole row, though, where that of a convolution is relative to what lies under the kernel: far from
everything that is not zero there are numbers of 1e-7 instead of zeros, and a NaN takes its row along.

`SeparableFilters` and the plain formulation are slow twins; `fourier_filters.c` does in one pass over the maps what is
done here by torch.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.kernels.native.loader import Geometry, channels_last, kernels, run

_LAST = torch.channels_last
# Bytes of weights that are made at once, to be used before they leave the cache.
_WEIGHT_BYTES = 6 * 2**20
# The same of their gradients, which are added up at every turn.
_GRADIENT_BYTES = 12 * 2**20
# Matrix products that are worth a call.
_BATCH = 2


class Workspace:
    """Memory that the stretches and blocks of one convolution use one after the other."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def take(self, name: str, like: Tensor, *shape: int) -> Tensor:
        """Uninitialised; what was taken under that name before is overwritten."""
        count = math.prod(shape)
        held = self._held.get(name)
        if held is None or held.numel() < count:
            held = self._held[name] = torch.empty(count, dtype=like.dtype, device=like.device)
        return held[:count].reshape(shape)


class FourierTables(NamedTuple):
    """The transforms of rows of W pixels, in float64 on the CPU.

    Attributes:
        analysis: [L, W], a row's coefficients: frequencies without a sine first, then cosine and sine in turn.
        response: [P, k], what a filter's points contribute to the factors of the P products.
        synthesis: [W', L], the pixels of a product's coefficients.
    """

    analysis: Tensor
    response: Tensor
    synthesis: Tensor


@functools.lru_cache(maxsize=256)
def fourier_tables(width: int, size: int, stride: int, padding: int) -> FourierTables:
    """The tables for maps `width` pixels wide and filters of `size` points."""
    return tables_on_circle(width, size, stride, padding, width + padding)


def tables_on_circle(width: int, size: int, stride: int, padding: int, length: int) -> FourierTables:
    """The same on a circle of `length` pixels; below width + padding the ends of a row would mix."""
    singles = 2 - length % 2
    turn = 2 * math.pi / length * torch.arange(length, dtype=torch.float64)

    def waves(frequency: int, places: Tensor) -> tuple[Tensor, Tensor]:
        # Angles are looked up, not multiplied out: those of large products would lose digits.
        angles = turn[(frequency * places) % length]
        return angles.cos(), angles.sin()

    pixels, points = torch.arange(width), torch.arange(size)
    outs = torch.arange(0, width + 2 * padding - size + 1, stride) - padding
    analysis, response, synthesis = [], [], []
    for single in range(singles):
        frequency = single * length // 2
        analysis.append(waves(frequency, pixels)[0])
        response.append(waves(frequency, points)[0])
        synthesis.append(waves(frequency, outs)[0] / length)
    for frequency in range(1, (length - singles) // 2 + 1):
        cosine, sine = waves(frequency, pixels)
        analysis += [cosine, -sine]
        a, b = waves(frequency, points)
        response += [a + b, a, b]
        cosine, sine = waves(frequency, outs)
        synthesis += [2 / length * cosine, -2 / length * sine]
    with torch.inference_mode(False):
        return FourierTables(torch.stack(analysis), torch.stack(response), torch.stack(synthesis, dim=1))


class FourierFilters:
    """The filters of one stream, as `hssl.kernels.separable.SeparableFilters` has them.

    Args:
        functions: [e, k].
        width: W of the maps that are filtered.
        stride, padding: of the k x k convolution.
        workspace: shared with the other streams of a convolution.
    """

    def __init__(self, functions: Tensor, width: int, stride: int, padding: int, workspace: Workspace) -> None:
        self._functions = functions.contiguous()
        self._stride, self._padding, self._workspace = stride, padding, workspace
        self._e, self._size = functions.shape
        tables = fourier_tables(width, self._size, stride, padding)
        self._width, self._length = width, width + padding
        self._singles = 2 - self._length % 2
        self._analysis = tables.analysis.to(functions)
        self._synthesis = tables.synthesis.to(functions)
        # [P, e]: the factors of the products, as sums over the weights of the functions along W.
        self._response = (tables.response.to(functions.device) @ functions.double().T).to(functions.dtype)

    @property
    def products(self) -> int:
        """P, the matrix products that a convolution is."""
        return len(self._response)

    @staticmethod
    def arrange(mix: Tensor) -> Tensor:
        """[O, n, m, C] -> [m, O n C]."""
        return mix.permute(2, 0, 1, 3).reshape(mix.shape[2], -1).contiguous()

    @staticmethod
    def gather(weights: Tensor, shape: torch.Size) -> Tensor:
        """The adjoint of `arrange`: [m, O n C] -> [O, n, m, C]."""
        out, e, _, channels = shape
        return weights.reshape(e, out, e, channels).permute(1, 2, 0, 3)

    def convolve(self, maps: Tensor, weight: Tensor, target: Tensor, rectify: bool) -> None:
        """Write the convolution of maps [n, C, H, W] by `weight` [m, O n C] to `target` [n, O, H', W']."""
        spectra = self._transform(maps, rectify)
        products = self._workspace.take("products", maps, *spectra.shape[:2], target.shape[1])
        for part, weights in self._weights(weight, spectra.shape[-1]):
            torch.bmm(spectra[part], weights.mT, out=products[part])
        self._restore(products, target)

    def differentiate(
        self, maps: Tensor, d_out: Tensor, weight: Tensor, d_weight: Tensor, target: Tensor | None, rectify: bool
    ) -> None:
        """Add the gradient of `weight` to `d_weight`, and write that of the maps to `target`."""
        spectra = self._transform(maps, rectify)
        d_products = self._restore_gradients(d_out)
        for part in self._parts(weight, _GRADIENT_BYTES):
            shape = (len(self._response[part]), d_out.shape[1], spectra.shape[-1])
            d_weights = self._workspace.take("weights", maps, *shape)
            torch.bmm(d_products[part].mT, spectra[part], out=d_weights)
            self._gather_weights(d_weights.flatten(1), self._response[part], d_weight)
        if target is None:
            return
        for part, weights in self._weights(weight, spectra.shape[-1]):
            torch.bmm(d_products[part], weights, out=spectra[part])
        self._transform_gradients(spectra, maps, target, rectify)

    def _parts(self, weight: Tensor, limit: int) -> list[slice]:
        """The products, so many at once that their weights are within the limit."""
        count = max(_BATCH, limit // max(1, weight[0].numel() * weight.element_size()))
        return [slice(start, start + count) for start in range(0, self.products, count)]

    def _weights(self, weight: Tensor, columns: int) -> Iterator[tuple[slice, Tensor]]:
        """Some of the products, and their weights [P', O, e C]; valid until the next ones are asked for."""
        out = weight.shape[1] // columns
        for part in self._parts(weight, _WEIGHT_BYTES):
            response = self._response[part]
            made = self._workspace.take("weights", weight, len(response), weight.shape[1])
            self._make_weights(weight, response, made)
            yield part, made.reshape(-1, out, columns)

    def _out(self, extent: int) -> int:
        return (extent + 2 * self._padding - self._size) // self._stride + 1

    def _make_weights(self, weight: Tensor, response: Tensor, made: Tensor) -> None:
        torch.mm(response, weight, out=made)

    def _gather_weights(self, d_weights: Tensor, response: Tensor, d_weight: Tensor) -> None:
        d_weight.addmm_(response.T, d_weights)

    def _blank(self, name: str, like: Tensor, rows: int, columns: int) -> Tensor:
        return self._workspace.take(name, like, self.products, rows, columns)

    # -- transforms and their adjoints -------------------------------------------------------------------------------

    def _transform(self, maps: Tensor, rectify: bool) -> Tensor:
        """[n, C, H, W] -> the spectra of rows filtered along H, [P, n H', e C]."""
        maps = F.relu(maps) if rectify else maps
        channels, height = maps.shape[1:3]
        coefficients = torch.einsum("lw,bchw,ngh->lbgnc", self._analysis, maps, self._along_h(height))
        coefficients = coefficients.reshape(self._length, -1, self._e * channels)
        spectra = self._blank("spectra", maps, coefficients.shape[1], coefficients.shape[2])
        c, d = self._pairs(coefficients, 2)
        spectra[: self._singles] = coefficients[: self._singles]
        for place, values in enumerate((c, d - c, c + d)):
            spectra[self._singles + place :: 3] = values
        return spectra

    def _transform_gradients(self, d_spectra: Tensor, maps: Tensor, target: Tensor, rectify: bool) -> None:
        count, channels, height, _ = maps.shape
        d_coefficients = d_spectra.new_empty((self._length, *d_spectra.shape[1:]))
        p, q, r = self._pairs(d_spectra, 3)
        d_coefficients[: self._singles] = d_spectra[: self._singles]
        d_coefficients[self._singles :: 2] = p - q + r
        d_coefficients[self._singles + 1 :: 2] = q + r
        d_coefficients = d_coefficients.reshape(self._length, count, -1, self._e, channels)
        d_maps = torch.einsum("lw,lbgnc,ngh->bchw", self._analysis, d_coefficients, self._along_h(height))
        target.copy_(d_maps.masked_fill_(maps <= 0, 0) if rectify else d_maps)

    def _restore(self, products: Tensor, target: Tensor) -> None:
        """[P, n H', O] -> [n, O, H', W']."""
        count, out, height, _ = target.shape
        coefficients = products.new_empty((self._length, *products.shape[1:]))
        p, q, r = self._pairs(products, 3)
        coefficients[: self._singles] = products[: self._singles]
        coefficients[self._singles :: 2] = p - r
        coefficients[self._singles + 1 :: 2] = p + q
        coefficients = coefficients.reshape(self._length, count, height, out)
        target.copy_(torch.einsum("wl,lbgo->bogw", self._synthesis, coefficients))

    def _restore_gradients(self, d_out: Tensor) -> Tensor:
        count, out, height, _ = d_out.shape
        d_coefficients = torch.einsum("wl,bogw->lbgo", self._synthesis, d_out).reshape(self._length, -1, out)
        d_products = self._blank("products", d_out, count * height, out)
        real, imaginary = self._pairs(d_coefficients, 2)
        d_products[: self._singles] = d_coefficients[: self._singles]
        for place, values in enumerate((real + imaginary, imaginary, -real)):
            d_products[self._singles + place :: 3] = values
        return d_products

    def _pairs(self, values: Tensor, apart: int) -> tuple[Tensor, ...]:
        """The values of frequencies with a sine, each kind by itself."""
        return tuple(values[self._singles + place :: apart] for place in range(apart))

    def _along_h(self, height: int) -> Tensor:
        """The filters along H as matrices [e, H', H]."""
        rows = torch.arange(self._out(height), device=self._functions.device)[:, None] * self._stride - self._padding
        place = torch.arange(height, device=rows.device) - rows
        inside = (place >= 0) & (place < self._size)
        return self._functions[:, place.clamp(0, self._size - 1)] * inside


class CompiledFourierFilters(FourierFilters):
    """The same with its transforms in C: float32 or float64 on a CPU where `compiled_filters_exist`."""

    def _transform(self, maps: Tensor, rectify: bool) -> Tensor:
        maps = maps.contiguous(memory_format=_LAST)
        channels = maps.shape[1]
        geometry = self._geometry(maps)
        spectra = self._blank("spectra", maps, geometry.images * geometry.out_height, self._e * channels)
        run(
            self._kernels(channels).transform, maps, spectra, self._functions, self._analysis.T.contiguous(),
            geometry, int(rectify),
        )  # fmt: skip
        return spectra

    def _transform_gradients(self, d_spectra: Tensor, maps: Tensor, target: Tensor, rectify: bool) -> None:
        maps = maps.contiguous(memory_format=_LAST)
        kernel, geometry = self._kernels(maps.shape[1]).transform_gradients, self._geometry(maps)
        with channels_last(target) as d_maps:
            run(kernel, d_spectra, d_maps, maps, self._functions, self._analysis.contiguous(), geometry, int(rectify))

    def _restore(self, products: Tensor, target: Tensor) -> None:
        kernel, geometry = self._kernels(target.shape[1]).restore, self._geometry_of_outputs(target)
        with channels_last(target) as maps:
            run(kernel, products, maps, self._synthesis.T.contiguous(), geometry)

    def _restore_gradients(self, d_out: Tensor) -> Tensor:
        d_out = d_out.contiguous(memory_format=_LAST)
        count, out, height, _ = d_out.shape
        d_products = self._blank("products", d_out, count * height, out)
        run(
            self._kernels(out).restore_gradients, d_out, d_products, self._synthesis.contiguous(),
            self._geometry_of_outputs(d_out),
        )  # fmt: skip
        return d_products

    def _make_weights(self, weight: Tensor, response: Tensor, made: Tensor) -> None:
        run(self._kernels(1).make_weights, weight, made, response, *made.shape[::-1])

    def _gather_weights(self, d_weights: Tensor, response: Tensor, d_weight: Tensor) -> None:
        run(self._kernels(1).gather_weights, d_weights, d_weight, response, *d_weights.shape[::-1])

    def _kernels(self, channels: int) -> ctypes.CDLL:
        return kernels("fourier_filters.c", self._functions.dtype, channels, self._e, self._size)

    def _geometry(self, maps: Tensor) -> Geometry:
        return Geometry.of(maps, self._size, self._stride, self._padding)

    def _geometry_of_outputs(self, maps: Tensor) -> Geometry:
        count, channels, *outs = maps.shape
        # The height of what was convolved plays no part in what is done with outputs.
        return Geometry(count, 0, self._width, channels, self._stride, self._padding, *outs)
