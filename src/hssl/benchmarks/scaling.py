"""How the cost of a step grows: time and memory against batch, |G|, width and resolution; memory at the paper's batch.

Each point is a process of its own, whose peak memory is its own: the planned step with sampled streams, with all
streams, and the plain formulation.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

import torch

from hssl.benchmarks.machine import in_fresh_process, peak_megabytes, start_of_peak
from hssl.benchmarks.step import StepCase, Stepper, configuration
from hssl.benchmarks.timing import wait

FORMULATIONS: dict[str, dict[str, str]] = {
    "sampled": {},
    "all streams": {"views.streams": "all"},
    "plain": {"views.streams": "all", "backbone.plan": "plain"},
}
AXES: dict[str, tuple[float, ...]] = {
    "batch": (32, 64, 128, 256),
    "streams": (2, 4, 6, 8),
    "width": (0.25, 0.5, 1.0, 1.5),
    "resolution": (16, 24, 32, 48),
}
"""What is varied, about batch 64, six scales, width 1 and 32 pixels, for H-SSL on the MNIST scale network."""
PAPER = "paper's batch"
PAPER_BATCH = 4096
"""Of the paper's MNIST runs: one step, for its memory."""


def measure(axis: str, value: float, formulation: str, steps: int, device: torch.device) -> dict[str, Any]:
    """Median seconds of so many steps after a first one, or of that one if `steps` is 0, and peak memory of a point."""
    code = "import sys; from hssl.benchmarks.scaling import point; point(sys.argv[1])"
    found = json.loads(
        in_fresh_process(code, json.dumps([axis, value, formulation, steps, device.type])).strip().splitlines()[-1]
    )
    return {"axis": axis, "value": value, "formulation": formulation, **found}


def point(what: str) -> None:
    """Inside the fresh process: print seconds and megabytes as JSON."""
    axis, value, formulation, steps, device_type = json.loads(what)
    device = torch.device(device_type)
    batch = int(value) if axis in ("batch", PAPER) else 64
    changes: dict[str, Any] = dict(FORMULATIONS[formulation])
    if axis == "streams":
        changes["group.factors"] = ",".join(f"{1 + 0.75 * index / (int(value) - 1):.4g}" for index in range(int(value)))
    if axis == "width":
        changes["backbone.width"] = str(value)
    if axis == "resolution":
        changes["data.resolution"] = str(int(value))
    case = StepCase("mnist-scale", batch, 1)
    stepper = Stepper(configuration(case, "hssl", **changes), 1, device)
    baseline = start_of_peak(device)
    seconds = []
    for step in range(1 + steps):
        wait(device)
        start = time.perf_counter()
        stepper()
        wait(device)
        if step or not steps:
            seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(seconds), "megabytes": peak_megabytes(device) - baseline}))
