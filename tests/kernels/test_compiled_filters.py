"""Filters in C against torch's convolutions, their slow twin."""

import pytest
import torch

from hssl.kernels.compiled_filters import CompiledFilters
from hssl.kernels.separable import SeparableFilters
from hssl.layers.basis import hermite_gauss_functions
from laws import BOUNDS, error, noise


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("channels", [1, 3, 4, 8, 16, 24, 32, 64])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 2), (2, 2), (3, 1)])
@pytest.mark.parametrize("e", [1, 3])
def test_they_equal_torchs_convolutions(e: int, stride: int, padding: int, channels: int, dtype: torch.dtype) -> None:
    functions = hermite_gauss_functions(5, e, (1.3,))[0].to(dtype)
    maps, out = noise(3, channels, 8, 11, dtype=dtype), 6
    mixing = noise(out, e * e * channels, 1, 1, dtype=dtype).contiguous(memory_format=torch.channels_last)
    found = []
    for rectify in (False, True):
        for kind in (SeparableFilters, CompiledFilters):
            filters = kind(functions, channels, stride, padding)
            shape = [(extent + 2 * padding - 5) // stride + 1 for extent in (8, 11)]
            target = torch.empty(3, out, *shape, dtype=dtype).contiguous(memory_format=torch.channels_last)
            filters.convolve(maps, mixing, target, rectify)
            d_out = noise(*target.shape, seed=2, dtype=dtype).contiguous(memory_format=torch.channels_last)
            d_mixing, d_maps = torch.ones_like(mixing), torch.empty_like(maps)
            filters.differentiate(maps, d_out, mixing, d_mixing, d_maps, rectify)
            found.append((target, d_mixing, d_maps))
    for slow, fast in (found[:2], found[2:]):
        assert max(error(one, other) for one, other in zip(fast, slow, strict=True)) <= BOUNDS[dtype]
    # The control: a forgotten ReLU.
    assert min(error(one, other) for one, other in zip(found[1], found[2], strict=True)) > 1e-2


def test_a_nan_is_not_rectified_away() -> None:
    filters = CompiledFilters(hermite_gauss_functions(5, 3, (1.3,))[0], 8, 1, 2)
    maps = noise(1, 8, 7, 7)
    maps[0, 3, 3, 3] = torch.nan
    assert filters.filtered(maps, True)[0, :, 3, 3].isnan().any()
