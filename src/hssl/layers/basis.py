"""The steerable filter basis: Hermite polynomials under a Gaussian, at several scales (Sosnovik et al. 2020, type A).

Built in float64 and cast once where it is used: a basis that was rounded to float32 does not get its digits back.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor

from hssl.errors import ConfigurationError

BasisKind = Literal["sesn", "untruncated"]

# An untruncated filter ends where its function has fallen to this share of its maximum.
_TAIL = 1e-3


@functools.cache
def hermite_gauss_basis(
    kernel_size: int, effective_size: int, scales: tuple[float, ...], kind: BasisKind = "sesn"
) -> Tensor:
    """psi_{s,f}(i, j) = g_{s,n}(i) g_{s,m}(j), with g_{s,n}(x) = 1/s exp(-x^2 / (2 s^2)) He_n(x / s), f = m e + n.

    All 0 <= n, m < e; n acts on rows. Each function is divided by the L2 norm of its version at the first scale. The
    factor 1/s^2 makes the continuous convolution with a magnified image the magnified convolution.

    Args:
        kernel_size: k, odd, in pixels, at the largest scale.
        effective_size: e >= 1, functions an axis; the basis has e^2.
        scales: the filters' sigmas in pixels.
        kind: `sesn` cuts the function of scale s to 2 floor(floor(k s / s_max) / 2) + 1 points, as the original does;
            `untruncated` lets the kernel grow until its functions have died away, which is more equivariant and costs
            more.

    Returns:
        float64 [e^2, S, k', k'] with k' = k for `sesn` and k' >= k for `untruncated`.

    Raises:
        ConfigurationError: an even kernel size, or a scale whose grid is too small to hold its functions.
    """
    functions = hermite_gauss_functions(kernel_size, effective_size, scales, kind).numpy()
    size = functions.shape[-1]
    # f = m e + n with n on the rows (i) and m on the columns (j)
    basis = np.einsum("sni,smj->mnsij", functions, functions).reshape(effective_size**2, len(scales), size, size)
    return torch.from_numpy(np.ascontiguousarray(basis))


@functools.cache
def hermite_gauss_functions(
    kernel_size: int, effective_size: int, scales: tuple[float, ...], kind: BasisKind = "sesn"
) -> Tensor:
    """The one-dimensional factors of the basis, normalised alike: psi_{s,f}(i, j) = u_{s,n}(i) u_{s,m}(j), f = m e + n.

    Arguments and errors are those of `hermite_gauss_basis`.

    Returns:
        float64 [S, e, k'].
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ConfigurationError(
            "a filter needs an odd kernel size, so that it has a centre",
            got=f"kernel_size {kernel_size}",
            expected="1, 3, 5, ...",
        )
    if not 1 <= effective_size <= kernel_size:
        raise ConfigurationError(
            "the effective size counts the basis functions an axis",
            got=f"effective_size {effective_size} with kernel_size {kernel_size}",
            expected=f"1 to kernel_size = {kernel_size}",
        )
    if kind not in ("sesn", "untruncated"):
        raise ConfigurationError("there is no such basis", got=kind, expected="'sesn' or 'untruncated'")
    size = _size(kernel_size, effective_size, scales, kind)
    functions = np.zeros((len(scales), effective_size, size))
    for index, scale in enumerate(scales):
        points = size if kind == "untruncated" else _points(kernel_size, scale, max(scales))
        grid = np.arange(points) - points // 2
        rim = (size - points) // 2
        for degree in range(effective_size):
            functions[index, degree, rim : rim + points] = _hermite_gauss(grid / scale, degree) / scale
    norms = np.linalg.norm(functions[0], axis=-1)
    dead = np.flatnonzero(norms < 1e-12)
    if len(dead):
        raise ConfigurationError(
            f"the basis function of degree {dead[0]} vanishes on the grid of scale {scales[0]:g}",
            got=f"kernel_size {kernel_size}, effective_size {effective_size}, scales {scales}: "
            f"{_points(kernel_size, scales[0], max(scales))} grid points at scale {scales[0]:g}",
            expected="kernel_size * smallest scale / largest scale >= 2, so that the smallest grid keeps 3 points",
            hint="use a larger kernel_size or a smaller range of scales",
        )
    functions /= norms[None, :, None]
    return torch.from_numpy(functions)


def _size(kernel_size: int, effective_size: int, scales: Sequence[float], kind: BasisKind) -> int:
    """Points of the kernel of all scales: the nominal ones, or as many as untruncated functions need."""
    return kernel_size if kind == "sesn" else max(kernel_size, 2 * math.ceil(max(scales) * _reach(effective_size)) + 1)


def _points(kernel_size: int, scale: float, largest: float) -> int:
    return 2 * (math.floor(kernel_size * scale / largest) // 2) + 1


def _hermite_gauss(x: np.ndarray, degree: int) -> np.ndarray:
    polynomial = np.polynomial.hermite_e.hermeval(x, [0.0] * degree + [1.0])
    return np.asarray(np.exp(-(x**2) / 2) * polynomial)


def _reach(effective_size: int) -> float:
    """Sigmas after which every function of the basis stays below `_TAIL` of its maximum."""
    grid = np.linspace(0, 20, 4001)
    ends = []
    for degree in range(effective_size):
        size = np.abs(_hermite_gauss(grid, degree))
        ends.append(grid[np.flatnonzero(size > _TAIL * size.max())[-1]])
    return float(max(ends))


def support(functions: Tensor) -> int:
    """How many points about the centre hold all that is not zero: functions [..., k] -> at most k."""
    used = functions.reshape(-1, functions.shape[-1]).abs().amax(0).nonzero().flatten()
    return functions.shape[-1] - 2 * int(used[0]) if len(used) else 1


def basis_on(
    dimensions: Literal[1, 2],
    kernel_size: int,
    effective_size: int,
    scales: tuple[float, ...],
    kind: BasisKind,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """The basis, or with one dimension its factors, cast once to a dtype and device.

    Shared by all layers of a kind, and no part of any state_dict.
    """
    make = _constant if torch.compiler.is_compiling() else _cast
    return make(dimensions, kernel_size, effective_size, scales, kind, dtype, device)


@functools.lru_cache(maxsize=256)
def _cast(
    dimensions: int,
    kernel_size: int,
    effective_size: int,
    scales: tuple[float, ...],
    kind: BasisKind,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    make = hermite_gauss_functions if dimensions == 1 else hermite_gauss_basis
    with torch.inference_mode(False):
        return make(kernel_size, effective_size, scales, kind).to(device=device, dtype=dtype)


@torch.library.custom_op("hssl::hermite_gauss", mutates_args=())
def _constant(
    dimensions: int,
    kernel_size: int,
    effective_size: int,
    scales: Sequence[float],
    kind: str,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """The same inside a compiled graph, which cannot trace NumPy; a copy, as a graph may write to what it was given."""
    return _cast(dimensions, kernel_size, effective_size, tuple(scales), cast(BasisKind, kind), dtype, device).clone()


@_constant.register_fake
def _(
    dimensions: int,
    kernel_size: int,
    effective_size: int,
    scales: Sequence[float],
    kind: str,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    size = _size(kernel_size, effective_size, scales, cast(BasisKind, kind))
    leading = (len(scales), effective_size) if dimensions == 1 else (effective_size**2, len(scales), size)
    return torch.empty((*leading, size), dtype=dtype, device=device)
