"""Section on what the runs cost, beside what the paper's cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from hssl.analysis.summaries import NONE, Summary, summarise
from hssl.paper import numbers as paper
from hssl.report.document import Line, Number, Section, Table
from hssl.runs.record import RunRecord


@dataclass(frozen=True)
class Cost:
    """What runs took.

    Attributes:
        runs: how many.
        seconds: wall-clock time of a run, training and evaluation.
        devices: their names.
        gpu_hours: of all the runs together; None where one of them ran on no GPU or did not tell.
        core_hours: of all the runs together, of the threads that they used; None likewise where one ran on a GPU.
        kilowatt_hours: of all the runs together; None where one of them did not measure it.
        speed: training images a second, of the median epoch: the first one also warms up.
    """

    runs: int
    seconds: Summary | None
    devices: tuple[str, ...]
    gpu_hours: float | None
    core_hours: float | None
    kilowatt_hours: float | None
    speed: Summary | None


def cost_of(records: Sequence[RunRecord]) -> Cost:
    """The cost of these runs."""
    return Cost(
        len(records),
        summarise(record.wall_seconds for record in records),
        tuple(sorted({record.device for record in records})),
        _total(record.device_hours if on_gpu(record) else None for record in records),
        _total(None if on_gpu(record) else _core_hours(record) for record in records),
        _total(None if record.energy_joules is None else record.energy_joules / 3.6e6 for record in records),
        summarise(_images_per_second(record) for record in records),
    )


def on_gpu(record: RunRecord) -> bool:
    """Whether it ran on a GPU: processors are recorded with 'CPU:' before their name."""
    return not record.device.lower().startswith(("cpu", "unknown"))


def costs(runs: Mapping[str, tuple[Sequence[RunRecord], int | None]]) -> Section | None:
    """By kind of run, and in total.

    Args:
        runs: by name, and the GPU-hours of one of them in the paper, where it has them.
    """
    lines: list[Line] = []
    every: list[RunRecord] = []
    for run, (records, theirs) in runs.items():
        cost = cost_of(records)
        if cost.seconds is not None:
            every += records
            lines.append(_line(run, cost, theirs))
    if not lines:
        return None
    whole = cost_of(every)
    hours = sum(record.wall_seconds or 0.0 for record in every) / 3600
    told = [f"{whole.runs} runs took {_amount(hours)} hours of wall-clock time, training and evaluation."]
    gpu = cost_of([record for record in every if on_gpu(record)])
    cores = cost_of([record for record in every if not on_gpu(record)])
    if gpu.runs and gpu.gpu_hours is not None:
        told.append(f"{_share(gpu, whole)} ran on GPUs: {_amount(gpu.gpu_hours)} GPU-hours.")
    if cores.runs and cores.core_hours is not None:
        told.append(
            f"{_share(cores, whole)} ran on processors: {_amount(cores.core_hours)} core-hours, which are not compared "
            "with GPU-hours."
        )
    if whole.kilowatt_hours is not None:
        told.append(f"Their devices drew {_amount(whole.kilowatt_hours)} kWh.")
    if any(theirs is not None for _, theirs in runs.values()):
        told.append(
            f"The paper reports {paper.GPU_HOURS['mnist']} GPU-hours for a run on MNIST, {paper.GPU_HOURS['cifar10']} "
            f"for one on CIFAR-10 or Tiny ImageNet, and about {paper.TOTAL_GPU_HOURS:,} in total, for its full budget "
            "and on other GPUs."
        )
    headings = (
        "Run", "Runs", "Seconds", "Images/s", "On", "GPU-hours", "Core-hours", "kWh", "Paper GPU-hours", "Ours / paper",
    )  # fmt: skip
    table = Table(
        "costs",
        *_measured(headings, lines),
        "Of one run, in the mean. Seconds: wall-clock time, training and evaluation; images/s: of training; ± sample "
        "standard deviation. Core-hours are of the threads that a run used. Only GPU-hours are compared with the "
        "paper's.",
        folded=f"All {len(lines)} kinds of run",
    )
    return Section("Cost", (" ".join(told),), tables=(table,))


def _measured(headings: tuple[str, ...], lines: Sequence[Line]) -> tuple[tuple[str, ...], tuple[Line, ...]]:
    """Without the columns that have nothing in any line."""
    kept = [place for place in range(len(headings)) if any(line[place] != Number(NONE) for line in lines)]
    return tuple(headings[place] for place in kept), tuple(tuple(line[place] for place in kept) for line in lines)


def _line(run: str, cost: Cost, theirs: int | None) -> Line:
    assert cost.seconds is not None
    each = [
        None if total is None else total / cost.runs for total in (cost.gpu_hours, cost.core_hours, cost.kilowatt_hours)
    ]
    ratio = None if theirs is None or each[0] is None else each[0] / theirs
    return (
        run,
        Number(str(cost.runs), cost.runs),
        _whole(cost.seconds),
        _whole(cost.speed),
        ", ".join(cost.devices),
        *(Number(NONE if amount is None else _amount(amount), amount) for amount in each),
        Number(NONE if theirs is None else str(theirs), theirs),
        Number(NONE if ratio is None else f"{ratio:.2g}", ratio),
    )


def _share(some: Cost, whole: Cost) -> str:
    return "All of them" if some.runs == whole.runs else f"{some.runs} of them"


def _whole(measured: Summary | None) -> Number:
    if measured is None:
        return Number(NONE)
    return Number(f"{measured.mean:,.0f}", measured.mean, "" if measured.std is None else f"± {measured.std:,.0f}")


def _images_per_second(record: RunRecord) -> float | None:
    rates = [float(line["images_per_second"]) for line in record.metrics if line.get("images_per_second") is not None]
    return median(rates) if rates else None


def _core_hours(record: RunRecord) -> float | None:
    threads = record.environment.get("threads")
    if record.device_hours is None or not isinstance(threads, int):
        return None
    return record.device_hours * threads


def _total(values: Iterable[float | None]) -> float | None:
    """None where one is missing: a sum without it would be too small."""
    there = list(values)
    known = [value for value in there if value is not None]
    return math.fsum(known) if there and len(known) == len(there) else None


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
