"""C that is compiled when it is needed, and what happens where it cannot be."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hssl.errors import ConfigurationError
from hssl.kernels.compiled_filters import CompiledFilters
from hssl.kernels.fourier import CompiledFourierFilters, Workspace
from hssl.kernels.native import loader as module
from hssl.kernels.native.loader import compiled_filters_exist
from hssl.layers.basis import hermite_gauss_functions
from laws import error, noise

CPU = torch.zeros(1)


@pytest.fixture
def afresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Nothing remembered, and an empty cache."""
    monkeypatch.setenv("HSSL_CACHE", str(tmp_path))
    for remembered in (module._compiler, module.compiled, module._folder):
        remembered.cache_clear()
    yield tmp_path
    for remembered in (module._compiler, module.compiled, module._folder):
        remembered.cache_clear()


def test_this_machine_has_them() -> None:
    """Tests of compiled filters would compare nothing otherwise."""
    assert compiled_filters_exist(CPU)
    assert not compiled_filters_exist(CPU.to(torch.bfloat16))


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
    assert made == 3, "two trials, and what was asked for"
    module.compiled.cache_clear()
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
    code = "import torch; from hssl.kernels.native.loader import _compiler; print(_compiler() is not None)"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    # That one needs the trials alone.
    assert sorted(kernel.read_bytes() == b"not a library" for kernel in kernels) == [False, False, True]
    assert not list((afresh / "kernels").glob(".*"))


def test_a_cache_that_is_deleted_meanwhile_is_made_again(afresh: Path) -> None:
    assert compiled_filters_exist(CPU)
    shutil.rmtree(afresh)
    filters = CompiledFilters(hermite_gauss_functions(5, 3, (1.3,))[0], 8, 1, 2)
    assert filters.filtered(noise(1, 8, 7, 7), False).shape == (1, 72, 7, 7)
    assert list((afresh / "kernels").glob("*.so"))


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


def test_a_misspelt_switch_is_not_ignored(afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSSL_COMPILED_FILTERS", "of")
    with pytest.raises(ConfigurationError, match=r"HSSL_COMPILED_FILTERS[\s\S]*of[\s\S]*on, off"):
        compiled_filters_exist(CPU)


@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize("kind", ["separable", "fourier"])
def test_threads_change_no_number(kind: str, threads: int) -> None:
    """Also more threads than there are images and parts of channels to share."""
    functions, maps, mix = hermite_gauss_functions(5, 3, (1.3,))[0], noise(2, 32, 9, 9), noise(8, 3, 3, 32)
    d_out = noise(2, 8, 9, 9, seed=2).contiguous(memory_format=torch.channels_last)
    found = []
    before = torch.get_num_threads()
    try:
        for count in (1, threads):
            torch.set_num_threads(count)
            filters = (
                CompiledFilters(functions, 32, 1, 2)
                if kind == "separable"
                else CompiledFourierFilters(functions, 9, 1, 2, Workspace())
            )
            weight = filters.arrange(mix)
            target, d_weight, d_maps = torch.empty_like(d_out), torch.zeros_like(weight), torch.empty_like(maps)
            filters.convolve(maps, weight, target, True)
            filters.differentiate(maps, d_out, weight, d_weight, d_maps, True)
            found.append((target, d_weight, d_maps))
    finally:
        torch.set_num_threads(before)
    # Matrix products of torch may add in another order; what a thread writes to another's place would be far off.
    assert max(error(one, other) for one, other in zip(*found, strict=True)) <= 1e-13


def test_a_folder_that_others_may_write_to_is_not_trusted(afresh: Path) -> None:
    folder = afresh / "kernels"
    folder.mkdir()
    folder.chmod(0o777)
    assert compiled_filters_exist(CPU)
    assert not list(folder.iterdir())
    assert module._folder() != folder
