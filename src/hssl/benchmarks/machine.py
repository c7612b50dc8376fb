"""What a benchmark ran on, and the ceilings of the same machine: matrix products and copies, measured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from hssl.benchmarks.timing import in_turns
from hssl.errors import ConfigurationError
from hssl.training.environment import describe_environment

_ROUNDS = 9


def find_device(name: str) -> torch.device:
    """The device of that name; raises ConfigurationError where torch has none."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("there is no GPU here that torch can use", got="--device cuda", expected="cpu, auto")
    return torch.device(name)


def describe(device: torch.device) -> dict[str, Any]:
    """Versions, device, threads, date, and the allocator's settings, which decide what fresh memory costs on a CPU."""
    named = ("LD_PRELOAD", "THP_MEM_ALLOC_ENABLE")
    settings = {name: value for name, value in os.environ.items() if name.startswith("MALLOC_") or name in named}
    return {**describe_environment(device), "cores": os.cpu_count(), "allocator": settings or "default"}


def ceilings(device: torch.device) -> dict[str, float]:
    """Measured best rates: GFLOP/s of a large matrix product and of a large convolution, GB/s of a copy."""
    size = 2048 if device.type == "cpu" else 8192
    a, b = (torch.randn(size, size, device=device) for _ in range(2))
    last = torch.channels_last
    maps = torch.randn(32, 256, 28, 28, device=device).contiguous(memory_format=last)
    kernel = torch.randn(256, 256, 3, 3, device=device).contiguous(memory_format=last)
    source = torch.randn(2**26 if device.type == "cpu" else 2**28, device=device)
    target = torch.empty_like(source)

    def best(run: Callable[[], object]) -> float:
        return min(in_turns({"run": run}, _ROUNDS, device).seconds["run"])

    return {
        "matrix_gflops": 2e-9 * size**3 / best(lambda: a @ b),
        "convolution_gflops": 2e-9 * 32 * 28**2 * 256**2 * 9 / best(lambda: F.conv2d(maps, kernel, padding=1)),
        "copy_gbytes": 2e-9 * source.numel() * source.element_size() / best(lambda: target.copy_(source)),
    }


def in_fresh_process(code: str, *arguments: str) -> str:
    """The output of Python code in a process of its own, whose peak memory is its own.

    Raises:
        ConfigurationError: the process failed; its last line is told.
    """
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ConfigurationError("a measurement in a process of its own failed", got=last[0])
    return done.stdout


def start_of_peak(device: torch.device) -> float:
    """What peaks are measured from, in MB: on a GPU the count starts anew, on a CPU it is the peak so far."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device) / 1e6
    return peak_megabytes(device)


def peak_megabytes(device: torch.device) -> float:
    """Peak memory in MB: what was allocated on a GPU, else what was resident of this process (Linux)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) * 1024 / 1e6
    raise ConfigurationError("this system does not tell a process's peak memory", expected="Linux")
