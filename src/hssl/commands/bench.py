"""`hssl bench`: speed and memory, side by side with the plain formulation."""

from __future__ import annotations

import argparse

from hssl.errors import ConfigurationError
from hssl.training.notices import without_notices


def bench(arguments: argparse.Namespace) -> int:
    """Run one benchmark, print its table and write its measurements."""
    if arguments.json is not None and arguments.json.is_dir():
        raise ConfigurationError(f"{arguments.json} is a folder", accepted="--json FILE")
    with without_notices():
        import torch

        from hssl.benchmarks.machine import find_device
        from hssl.benchmarks.run import run

        if arguments.threads is not None:
            torch.set_num_threads(arguments.threads)
        run(arguments.kind, arguments.rounds, find_device(arguments.device), arguments.json)
    return 0
