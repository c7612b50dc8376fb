"""Time and memory of the contrastive objective against the number of examples: in tiles, and dense."""

from __future__ import annotations

import json
from typing import Any

import torch

from hssl.benchmarks.machine import in_fresh_process, peak_megabytes, start_of_peak
from hssl.benchmarks.timing import in_turns
from hssl.objectives import contrastive

SIZES = (512, 1024, 2048, 4096, 8192, 16384)
# One logits matrix of float32 beyond this takes 1 GiB, and dense holds several.
LARGEST_DENSE = 4096
DIMENSIONS = 128


def measure(examples: int, rounds: int, device: torch.device) -> dict[str, Any]:
    """Forward and backward of N examples; dense beside it where that fits, with the largest differences."""
    generator = torch.Generator().manual_seed(0)
    first, second = (
        torch.randn(examples, DIMENSIONS, generator=generator).to(device).requires_grad_() for _ in range(2)
    )
    dense_fits = examples <= LARGEST_DENSE

    def run(block_rows: int | None) -> tuple[torch.Tensor, ...]:
        loss = contrastive(first, second, block_rows=block_rows)
        return loss.detach(), *torch.autograd.grad(loss, (first, second))

    contestants = {"tiles": lambda: run(None)} | ({"dense": lambda: run(examples)} if dense_fits else {})
    turns = in_turns(contestants, rounds, device)
    row: dict[str, Any] = {"examples": examples, "tiles_seconds": turns.median("tiles")}
    row["tiles_megabytes"] = memory(examples, None, device)
    if dense_fits:
        row["dense_seconds"] = turns.median("dense")
        row["speedup"] = turns.speedup("tiles", over="dense").as_dict()
        row["dense_megabytes"] = memory(examples, examples, device)
        (loss, *gradients), (dense_loss, *dense_gradients) = run(None), run(examples)
        row["loss_difference"] = float((loss - dense_loss).abs() / dense_loss.abs())
        row["gradient_difference"] = max(
            float((one - other).abs().max() / other.abs().max())
            for one, other in zip(gradients, dense_gradients, strict=True)
        )
    return row


def memory(examples: int, block_rows: int | None, device: torch.device) -> float:
    """By how many MB the peak of a fresh process grows, forward and backward; on a GPU, what is allocated there."""
    code = "import sys; from hssl.benchmarks.loss import grow; n, b, d = sys.argv[1:]; print(grow(int(n), int(b), d))"
    return float(json.loads(in_fresh_process(code, str(examples), str(block_rows or 0), device.type)))


def grow(examples: int, block_rows: int, device_type: str) -> float:
    """Inside the fresh process: warm up on a few examples, then measure."""
    device = torch.device(device_type)
    for count in (128, examples):
        before = start_of_peak(device)
        first, second = (torch.randn(count, DIMENSIONS, device=device, requires_grad=True) for _ in range(2))
        loss = contrastive(first, second, block_rows=min(block_rows, count) or None)
        loss.backward()  # type: ignore[no-untyped-call]
    return peak_megabytes(device) - before
