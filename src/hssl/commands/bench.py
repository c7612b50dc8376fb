"""`hssl bench`: speed and memory, side by side with the plain formulation."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from hssl.errors import ConfigurationError
from hssl.training.notices import without_notices


def bench(arguments: argparse.Namespace) -> int:
    """Run one benchmark, print its table and write its measurements."""
    if arguments.json is not None:
        _check_writable(arguments.json)
    with without_notices():
        import torch

        from hssl.benchmarks.machine import find_device
        from hssl.benchmarks.run import run

        if arguments.threads is not None:
            torch.set_num_threads(arguments.threads)
        run(arguments.kind, arguments.rounds, find_device(arguments.device), arguments.json)
    return 0


def _check_writable(file: Path) -> None:
    """A measurement may take an hour: that its place can be written to is found out before."""
    if file.is_dir():
        raise ConfigurationError(f"{file} is a folder", expected="--json FILE")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be written", got=f"{error.strerror or error}", hint="name another place with --json"
        ) from None
