"""The one-dimensional filters in C, compiled for this machine when they are first needed; without a compiler, none.

A convolution of torch makes one pass over the maps for every function and axis. The kernels in `separable_filters.c`
make all e^2 filtered maps of a pixel at once while its surroundings are in the cache, as one matrix [positions, e^2 C],
so that a steerable convolution is this pass and one matrix product. `hssl.layers.separable` is their slow twin.

A compiled kernel lies in the cache folder (`hssl.files.cache_folder`), under a name that holds what it was compiled
from, by what and for which processor. HSSL_COMPILED_FILTERS=off does without them.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.files import cache_folder

_SOURCE = Path(__file__).with_name("separable_filters.c")
_REALS = {torch.float32: "float", torch.float64: "double"}
_VECTOR_BYTES = (64, 32, 16)
_LAST = torch.channels_last

_log = logging.getLogger(__name__)


def compiled_filters_exist(maps: Tensor) -> bool:
    """Whether maps of this kind can be filtered by compiled kernels on this machine."""
    return maps.device.type == "cpu" and maps.dtype in _REALS and _can_compile()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _can_compile() -> bool:
    """A graph that is being traced cannot look for a compiler, but it can be told."""
    return _compiler() is not None


class CompiledFilters:
    """The filters of one stream, as `hssl.layers.separable.SeparableFilters` has them, but all of them in one pass.

    Args:
        functions: [e, k], float32 or float64.
        channels: C of the maps that are filtered.
        stride, padding: of the k x k convolution.
    """

    def __init__(self, functions: Tensor, channels: int, stride: int, padding: int) -> None:
        e, size = functions.shape
        self._functions = functions.contiguous()
        self._channels, self._stride, self._padding = channels, stride, padding
        self._e, self._size = e, size
        self._kernels = _kernels(functions.dtype, *_lanes(channels, functions.element_size()), e, size)

    def filtered(self, maps: Tensor, rectify: bool) -> Tensor:
        """[n, C, H, W] -> [n, e^2 C, H', W'], n before m before c; of the positive part where `rectify` is set."""
        maps = maps.contiguous(memory_format=_LAST)
        geometry = self._geometry(maps)
        shape = (geometry.images, self._e**2 * self._channels, geometry.out_height, geometry.out_width)
        out = torch.empty(shape, dtype=maps.dtype, memory_format=_LAST)
        self._run(self._kernels.filter_maps, (maps, out, self._functions), geometry, rectify)
        return out

    def convolve(self, maps: Tensor, mixing: Tensor, target: Tensor, rectify: bool) -> None:
        """Write the convolution of maps [n, C, H, W] by `mixing` [O, e^2 C, 1, 1] to `target` [n, O, H', W']."""
        target.copy_(F.conv2d(self.filtered(maps, rectify), mixing))

    def differentiate(
        self, maps: Tensor, d_out: Tensor, mixing: Tensor, d_mixing: Tensor, target: Tensor | None, rectify: bool
    ) -> None:
        """Add the gradient of `mixing` to `d_mixing`, and write that of the maps to `target`."""
        maps = maps.contiguous(memory_format=_LAST)
        d_filtered, d_weight, _ = torch.ops.aten.convolution_backward(
            d_out, self.filtered(maps, rectify), mixing, None,
            (1, 1), (0, 0), (1, 1), False, (0, 0), 1, (target is not None, True, False),
        )  # fmt: skip
        d_mixing.add_(d_weight)
        if target is None:
            return
        d_maps = target if target.is_contiguous(memory_format=_LAST) else torch.empty_like(maps)
        operands = (d_filtered.contiguous(memory_format=_LAST), d_maps, maps, self._functions)
        self._run(self._kernels.filter_gradients, operands, self._geometry(maps), rectify)
        if d_maps is not target:
            target.copy_(d_maps)

    def _geometry(self, maps: Tensor) -> _Geometry:
        count, channels, height, width = maps.shape
        outs = [(extent + 2 * self._padding - self._size) // self._stride + 1 for extent in (height, width)]
        return _Geometry(count, height, width, channels, self._stride, self._padding, *outs)

    def _run(
        self, kernel: Callable[..., int], operands: tuple[Tensor, ...], geometry: _Geometry, rectify: bool
    ) -> None:
        pointers = [ctypes.c_void_p(operand.data_ptr()) for operand in operands]
        if kernel(*pointers, geometry, int(rectify), torch.get_num_threads()):
            raise MemoryError("no memory for the rows that a filter works on")


class _Geometry(ctypes.Structure):
    """As the struct of the C source."""

    _fields_ = [
        (name, ctypes.c_long)
        for name in ("images", "height", "width", "channels", "stride", "padding", "out_height", "out_width")
    ]
    images: int
    out_height: int
    out_width: int


def _lanes(channels: int, bytes_each: int) -> tuple[int, int]:
    """Numbers in a vector, and channels that are worked off together: what divides the channels."""
    lanes = next((size // bytes_each for size in _VECTOR_BYTES if channels % (size // bytes_each) == 0), 1)
    return lanes, lanes * (2 if channels % (2 * lanes) == 0 else 1)


@functools.cache
def _kernels(dtype: torch.dtype, lanes: int, width: int, e: int, size: int) -> ctypes.CDLL:
    compiler = _compiler()
    assert compiler is not None, "asked for without compiled_filters_exist"
    return _library(compiler, {"REAL": _REALS[dtype], "LANES": lanes, "WIDTH": width, "E": e, "SIZE": size})


@functools.cache
def _compiler() -> tuple[str, ...] | None:
    """The command that makes kernels on this machine; None where there is none, or none is wanted."""
    if sys.platform == "win32" or os.environ.get("HSSL_COMPILED_FILTERS") == "off":
        return None
    problem: object = "there is no C compiler"
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        path = shutil.which(name) if name else None
        for processor in ("-march=native", "-mcpu=native"):
            if path is None:
                continue
            command = (path, "-O3", processor, "-fopenmp", "-fPIC", "-shared")
            try:
                _library(command, {"REAL": "float", "LANES": 1, "WIDTH": 1, "E": 1, "SIZE": 1})
            except (OSError, subprocess.SubprocessError) as error:
                problem = getattr(error, "stderr", None) or error
            else:
                return command
    _log.info("separable filters are computed by torch's convolutions, which is slower: %s", problem)
    return None


def _library(compiler: tuple[str, ...], macros: dict[str, Any]) -> ctypes.CDLL:
    definitions = [f"-D{name}={value}" for name, value in macros.items()]
    name = hashlib.sha256(
        "\n".join([_SOURCE.read_text(), *compiler, *definitions, _version_of(compiler[0]), _processor()]).encode()
    ).hexdigest()[:32]
    file = _folder() / f"{name}.so"
    try:
        return ctypes.CDLL(str(file))
    except OSError:
        pass  # not there yet, or damaged
    descriptor, part = tempfile.mkstemp(dir=file.parent, prefix=f".{name}.", suffix=".part")
    os.close(descriptor)
    try:
        command = [*compiler, *definitions, str(_SOURCE), "-o", part]
        subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
        Path(part).chmod(0o755)
        # In one step: processes that start together may all compile it, and none reads half of it.
        Path(part).replace(file)
    finally:
        Path(part).unlink(missing_ok=True)
    return ctypes.CDLL(str(file))


@functools.cache
def _folder() -> Path:
    """Where kernels are kept; for this process alone where there is no such place."""
    try:
        folder = cache_folder() / "kernels"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):
        return Path(tempfile.mkdtemp(prefix="hssl-kernels-"))


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
