"""C compiled for this machine when it is first needed; without a compiler, none.

A compiled library lies in the cache folder (`hssl.files.cache_folder`), under a name that holds what it was compiled
from, by what and for which processor. HSSL_COMPILED_FILTERS=off does without.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hssl.errors import ConfigurationError
from hssl.files import cache_folder

_HERE = Path(__file__).parent
_HEADERS = (_HERE / "geometry.h", _HERE / "bundles.h")
_REALS = {torch.float32: "float", torch.float64: "double"}
# What shows that a compiler understands everything that there is.
_TRIALS = {
    "separable_filters.c": {"LANES": 1, "WIDTH": 1, "E": 1, "SIZE": 1},
    "dense_convolution.c": {"REAL_BYTES": 4, "OUTS": 1, "TAPS": 5},
}
_VECTOR_BYTES = (64, 32, 16)

_log = logging.getLogger(__name__)


def compiled_filters_exist(maps: Tensor) -> bool:
    """Whether maps of this kind can be filtered by compiled kernels on this machine."""
    return maps.device.type == "cpu" and maps.dtype in _REALS and _can_compile()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _can_compile() -> bool:
    """A graph that is being traced cannot look for a compiler, but it can be told."""
    return _compiler() is not None


class Geometry(ctypes.Structure):
    """What a kernel is told of its maps; as the struct of the C header."""

    _fields_ = [
        (name, ctypes.c_long)
        for name in ("images", "height", "width", "channels", "stride", "padding", "out_height", "out_width")
    ]
    images: int
    height: int
    width: int
    channels: int
    stride: int
    padding: int
    out_height: int
    out_width: int

    @classmethod
    def of(cls, maps: Tensor, size: int, stride: int, padding: int) -> Geometry:
        """Of the convolution of maps [n, C, H, W] by kernels of `size` points."""
        count, channels, height, width = maps.shape
        outs = [(extent + 2 * padding - size) // stride + 1 for extent in (height, width)]
        return cls(count, height, width, channels, stride, padding, *outs)


@contextmanager
def channels_last(target: Tensor) -> Iterator[Tensor]:
    """Memory of `target` [n, C, H, W] for a kernel to write to: its own if channels lie last, else a copy's source."""
    own = target.is_contiguous(memory_format=torch.channels_last)
    memory = target if own else torch.empty_like(target, memory_format=torch.channels_last)
    yield memory
    if not own:
        target.copy_(memory)


def _pass(argument: Tensor | Geometry | int) -> Any:
    if isinstance(argument, Tensor):
        return ctypes.c_void_p(argument.data_ptr())
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def run(kernel: Callable[..., int], *arguments: Tensor | Geometry | int) -> None:
    """Call a kernel; tensors go as pointers, and the number of threads comes last."""
    passed = [_pass(one) for one in arguments]
    if kernel(*passed, ctypes.c_long(torch.get_num_threads())):
        raise MemoryError("no memory for the rows that a filter works on")


def kernels(source: str, dtype: torch.dtype, channels: int, e: int, size: int) -> ctypes.CDLL:
    """The kernels of a source file for maps of so many channels and [e, size] functions.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be compiled, though `compiled_filters_exist`.
    """
    lanes, width = _lanes(channels, dtype.itemsize)
    return compiled(source, dtype, LANES=lanes, WIDTH=width, E=e, SIZE=size)


@functools.cache
def compiled(source: str, dtype: torch.dtype, **macros: int) -> ctypes.CDLL:
    """The kernels of a source file for one type of numbers, with its macros.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be compiled, though `compiled_filters_exist`.
    """
    compiler = _compiler()
    assert compiler is not None, "asked for without compiled_filters_exist"
    return _library(compiler, source, {"REAL": _REALS[dtype], **macros})


def _lanes(channels: int, bytes_each: int) -> tuple[int, int]:
    """Numbers in a vector, and channels that are worked off together: what divides the channels."""
    lanes = next((size // bytes_each for size in _VECTOR_BYTES if channels % (size // bytes_each) == 0), 1)
    return lanes, lanes * (2 if channels % (2 * lanes) == 0 else 1)


@functools.cache
def _compiler() -> tuple[str, ...] | None:
    """The command that makes kernels on this machine; None where there is none, or none is wanted."""
    switch = os.environ.get("HSSL_COMPILED_FILTERS", "on")
    if switch not in ("on", "off", ""):
        raise ConfigurationError("HSSL_COMPILED_FILTERS is not understood", got=switch, expected="on, off")
    if sys.platform == "win32" or switch == "off":
        return None
    problem: object = "there is no C compiler"
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        path = shutil.which(name) if name else None
        for processor in ("-march=native", "-mcpu=native"):
            if path is None:
                continue
            command = (path, "-O3", processor, "-fopenmp", "-fPIC", "-shared")
            try:
                for source, macros in _TRIALS.items():
                    _library(command, source, {"REAL": "float", **macros})
            except (OSError, subprocess.SubprocessError) as error:
                problem = getattr(error, "stderr", None) or error
            else:
                return command
    _log.warning("separable filters are computed by torch's convolutions, which is slower: %s", problem)
    return None


def _library(compiler: tuple[str, ...], source: str, macros: dict[str, Any]) -> ctypes.CDLL:
    definitions = [f"-D{name}={value}" for name, value in macros.items()]
    file_of_source = _HERE / source
    texts = [file.read_text() for file in (*_HEADERS, file_of_source)]
    name = hashlib.sha256(
        "\n".join([*texts, *compiler, *definitions, _version_of(compiler[0]), _processor()]).encode()
    ).hexdigest()[:32]
    file = _folder() / f"{name}.so"
    try:
        if _is_ours(file) and _is_ours(file.parent):
            return ctypes.CDLL(str(file))
    except OSError:
        pass  # not there yet, or damaged
    # Once more: a cache may be deleted at any time, also under a running process.
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=file.parent, prefix=f".{name}.", suffix=".part")
    os.close(descriptor)
    try:
        command = [*compiler, *definitions, str(file_of_source), "-o", part]
        subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
        Path(part).chmod(0o755)
        # In one step: processes that start together may all compile it, and none reads half of it.
        Path(part).replace(file)
    finally:
        Path(part).unlink(missing_ok=True)
    return ctypes.CDLL(str(file))


@functools.cache
def _folder() -> Path:
    """Where kernels are kept; for this process alone where there is no such place, or others could write to it."""
    try:
        folder = cache_folder() / "kernels"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            if _is_ours(folder):
                return folder
    except (OSError, RuntimeError):
        pass
    private = Path(tempfile.mkdtemp(prefix="hssl-kernels-"))
    atexit.register(shutil.rmtree, private, ignore_errors=True)
    return private


def _is_ours(path: Path) -> bool:
    """Whether nobody else can have written it: a library that is loaded runs with our rights."""
    found = path.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _version_of(compiler: str) -> str:
    found = Path(compiler).resolve()
    return f"{found} {found.stat().st_size} {found.stat().st_mtime_ns}"


@functools.cache
def _processor() -> str:
    """What `native` means: a folder may be shared by machines of several kinds."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    kinds = sorted({line for line in lines if line.split(":")[0].strip() in ("model name", "flags", "Features")})
    return "\n".join([platform.machine(), platform.processor(), *kinds])
