"""Products in the Fourier domain against one-dimensional filters, their slow twin, by torch and in C."""

import pytest
import torch
from torch import Tensor

from hssl.kernels.fourier import (
    CompiledFourierFilters,
    FourierFilters,
    Workspace,
    fourier_tables,
    tables_on_circle,
)
from hssl.kernels.separable import SeparableFilters
from hssl.layers.basis import hermite_gauss_functions
from laws import BOUNDS, error, noise

KINDS = (FourierFilters, CompiledFourierFilters)


def products(tables: tuple[Tensor, Tensor, Tensor], row: Tensor, points: Tensor) -> Tensor:
    """The convolution of a row, product by product as the module's text has them."""
    analysis, response, synthesis = tables
    coefficients, factors = analysis @ row, response @ points
    singles = 2 - len(coefficients) % 2
    found = list(factors[:singles] * coefficients[:singles])
    for pair in range((len(coefficients) - singles) // 2):
        c, d = coefficients[singles + 2 * pair : singles + 2 * pair + 2]
        a_and_b, a, b = factors[singles + 3 * pair : singles + 3 * pair + 3]
        p, q, r = a_and_b * c, a * (d - c), b * (c + d)
        found += [p - r, p + q]
    return synthesis @ torch.stack(found)


@pytest.mark.parametrize("padding", [0, 1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize("width", [7, 8, 28])
def test_the_tables_convolve(width: int, size: int, stride: int, padding: int) -> None:
    """With points of no symmetry: the rim of zeros is shared by both ends and mixes nothing."""
    row, points = noise(width), noise(size, seed=1)
    expected = torch.nn.functional.conv1d(row[None, None], points[None, None], stride=stride, padding=padding)[0, 0]
    tables = fourier_tables(width, size, stride, padding)
    assert error(products(tables, row, points), expected) <= 1e-13
    length = width + padding
    assert tables.response.shape == ((3 * length - 1) // 2, size)
    assert tables.analysis.shape == (length, width)
    # The control: a circle with one pixel too few for the padding, on which both ends of the row mix.
    if padding and size > 1:
        whole = torch.nn.functional.conv1d(row[None, None], points[None, None], padding=padding)[0, 0]
        mixed = tables_on_circle(width, size, 1, padding, length - 1)
        assert error(products(mixed, row, points), whole) > 1e-3


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("channels", [1, 3, 8, 24, 32, 64])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 2), (2, 2), (3, 1)])
@pytest.mark.parametrize("e", [1, 3])
def test_they_equal_one_dimensional_filters(
    e: int, stride: int, padding: int, channels: int, dtype: torch.dtype
) -> None:
    functions = hermite_gauss_functions(5, e, (1.3,))[0].to(dtype)
    mix, out = noise(6, e, e, channels, dtype=dtype), 6
    for size in ((8, 11), (9, 12)):
        maps = noise(3, channels, *size, dtype=dtype)
        shape = [(extent + 2 * padding - 5) // stride + 1 for extent in size]
        d_out = noise(3, out, *shape, seed=2, dtype=dtype).contiguous(memory_format=torch.channels_last)
        found: dict[tuple[str, bool], list[Tensor]] = {}
        for rectify in (False, True):
            for filters in (
                SeparableFilters(functions, channels, stride, padding),
                *(kind(functions, size[1], stride, padding, Workspace()) for kind in KINDS),
            ):
                target = torch.empty_like(d_out)
                weight = filters.arrange(mix)
                filters.convolve(maps, weight, target, rectify)
                d_weight, d_maps = filters.arrange(torch.ones_like(mix)), torch.empty_like(maps)
                filters.differentiate(maps, d_out, weight, d_weight, d_maps, rectify)
                found[type(filters).__name__, rectify] = [target, filters.gather(d_weight, mix.shape), d_maps]
        for (name, rectify), fast in found.items():
            slow = found["SeparableFilters", rectify]
            assert max(error(one, other) for one, other in zip(fast, slow, strict=True)) <= BOUNDS[dtype], name
        # The control: a forgotten ReLU.
        forgotten = zip(found["CompiledFourierFilters", False], found["SeparableFilters", True], strict=True)
        assert min(error(one, other) for one, other in forgotten) > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_the_products_change_no_number(kind: type[FourierFilters], monkeypatch: pytest.MonkeyPatch) -> None:
    functions, maps, mix = hermite_gauss_functions(7, 3, (1.3,))[0], noise(2, 8, 9, 9), noise(6, 3, 3, 8)
    d_out = noise(2, 6, 9, 9, seed=2).contiguous(memory_format=torch.channels_last)
    found = []
    for limit in (1, 5000, 10**9):
        monkeypatch.setattr("hssl.kernels.fourier._WEIGHT_BYTES", limit)
        monkeypatch.setattr("hssl.kernels.fourier._GRADIENT_BYTES", limit)
        filters = kind(functions, 9, 1, 3, Workspace())
        weight = filters.arrange(mix)
        parts = filters._parts(weight, limit)
        assert [index for part in parts for index in range(filters.products)[part]] == list(range(filters.products))
        target, d_weight, d_maps = torch.empty_like(d_out), torch.zeros_like(weight), torch.empty_like(maps)
        filters.convolve(maps, weight, target, True)
        filters.differentiate(maps, d_out, weight, d_weight, d_maps, True)
        found.append((len(parts), target, d_weight, d_maps))
    assert [parts for parts, *_ in found] == [9, 5, 1]
    for _, *other in found[1:]:
        assert max(error(one, two) for one, two in zip(found[0][1:], other, strict=True)) <= 1e-13


@pytest.mark.parametrize("kind", KINDS)
def test_a_nan_is_not_rectified_away(kind: type[FourierFilters]) -> None:
    filters = kind(hermite_gauss_functions(5, 3, (1.3,))[0], 7, 1, 2, Workspace())
    maps = noise(1, 8, 7, 7)
    maps[0, 3, 3, 3] = torch.nan
    target = torch.empty(1, 2, 7, 7).double()
    filters.convolve(maps, filters.arrange(noise(2, 3, 3, 8)), target, True)
    assert target[0, :, 3, 3].isnan().all()


def test_gradients_of_the_weight_alone() -> None:
    functions, maps, mix = hermite_gauss_functions(5, 3, (1.3,))[0], noise(2, 8, 9, 9), noise(6, 3, 3, 8)
    d_out = noise(2, 6, 9, 9, seed=2).contiguous(memory_format=torch.channels_last)
    filters = CompiledFourierFilters(functions, 9, 1, 2, Workspace())
    weight = filters.arrange(mix)
    with_maps, alone = torch.zeros_like(weight), torch.zeros_like(weight)
    filters.differentiate(maps, d_out, weight, with_maps, torch.empty_like(maps), False)
    filters.differentiate(maps, d_out, weight, alone, None, False)
    assert torch.equal(with_maps, alone)
    assert alone.abs().max() > 0


def test_a_workspace_grows_and_is_used_again() -> None:
    space, like = Workspace(), torch.zeros(1, dtype=torch.float64)
    first = space.take("a", like, 2, 3)
    assert (first.shape, first.dtype) == ((2, 3), torch.float64)
    assert space.take("a", like, 5).data_ptr() == first.data_ptr()
    assert space.take("b", like, 5).data_ptr() != first.data_ptr()
    assert space.take("a", like, 7).shape == (7,)
