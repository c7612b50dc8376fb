"""Filters in C against torch's convolutions, their slow twin, and what happens where they cannot be had."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hssl.layers import compiled_filters as module
from hssl.layers.basis import hermite_gauss_functions
from hssl.layers.compiled_filters import CompiledFilters, compiled_filters_exist
from hssl.layers.separable import SeparableFilters
from laws import BOUNDS, error, noise

CPU = torch.zeros(1)


@pytest.fixture
def afresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Nothing remembered, and an empty cache."""
    monkeypatch.setenv("HSSL_CACHE", str(tmp_path))
    for remembered in (module._compiler, module._kernels, module._folder):
        remembered.cache_clear()
    yield tmp_path
    for remembered in (module._compiler, module._kernels, module._folder):
        remembered.cache_clear()


def test_this_machine_has_them() -> None:
    """All other tests here would compare nothing otherwise."""
    assert compiled_filters_exist(CPU)
    assert not compiled_filters_exist(CPU.to(torch.bfloat16))


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


def test_a_kernel_is_compiled_once_and_a_damaged_one_anew(afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    run = subprocess.run

    def watched(command: list[str], **named: Any) -> Any:
        if "-shared" in command:
            calls.append(command)
        return run(command, **named)

    monkeypatch.setattr(module.subprocess, "run", watched)

    def filtered() -> torch.Tensor:
        return CompiledFilters(hermite_gauss_functions(5, 3, (1.3,))[0], 8, 1, 2).filtered(noise(1, 8, 7, 7), False)

    assert compiled_filters_exist(CPU)
    expected = filtered()
    made = len(calls)
    assert made == 2, "a trial, and what was asked for"
    module._kernels.cache_clear()
    module._compiler.cache_clear()
    assert compiled_filters_exist(CPU)
    assert torch.equal(filtered(), expected)
    assert len(calls) == made
    kernels = list((afresh / "kernels").glob("*.so"))
    assert len(kernels) == made
    # Another process, since this one has them loaded.
    for kernel in kernels:
        kernel.unlink()  # not written over: it is mapped here
        kernel.write_bytes(b"not a library")
    code = "import torch; from hssl.layers.compiled_filters import _compiler; print(_compiler() is not None)"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    # That one needs the trial alone.
    assert sorted(kernel.read_bytes() == b"not a library" for kernel in kernels) == [False, True]
    assert not list((afresh / "kernels").glob(".*"))


@pytest.mark.parametrize("how", ["off", "no compiler", "a broken compiler"])
def test_without_them_torch_filters(how: str, afresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if how == "off":
        monkeypatch.setenv("HSSL_COMPILED_FILTERS", "off")
    else:
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        monkeypatch.delenv("CC", raising=False)
        if how == "a broken compiler":
            (tmp_path / "bin").mkdir()
            (tmp_path / "bin/cc").write_text("#!/bin/sh\nexit 1\n")
            (tmp_path / "bin/cc").chmod(0o755)
    assert not compiled_filters_exist(CPU)
