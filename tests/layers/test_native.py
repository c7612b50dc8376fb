"""C that is compiled when it is needed, and what happens where it cannot be."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hssl.layers import native as module
from hssl.layers.basis import hermite_gauss_functions
from hssl.layers.compiled_filters import CompiledFilters
from hssl.layers.native import compiled_filters_exist
from laws import noise

CPU = torch.zeros(1)


@pytest.fixture
def afresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Nothing remembered, and an empty cache."""
    monkeypatch.setenv("HSSL_CACHE", str(tmp_path))
    for remembered in (module._compiler, module.kernels, module._folder):
        remembered.cache_clear()
    yield tmp_path
    for remembered in (module._compiler, module.kernels, module._folder):
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
    assert made == 2, "a trial, and what was asked for"
    module.kernels.cache_clear()
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
    code = "import torch; from hssl.layers.native import _compiler; print(_compiler() is not None)"
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    # That one needs the trial alone.
    assert sorted(kernel.read_bytes() == b"not a library" for kernel in kernels) == [False, True]
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
