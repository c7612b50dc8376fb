"""`hssl bench`: run one benchmark, print its table, write its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from hssl.benchmarks import data, layers, loss, scaling, step
from hssl.benchmarks.machine import ceilings, describe
from hssl.errors import ConfigurationError
from hssl.extras import extra
from hssl.files import write_atomically

with extra("terminal"):
    from rich.console import Console
    from rich.table import Table

Rows = Iterator[dict[str, Any]]


def run(kind: str, rounds: int, device: torch.device, file: Path | None) -> None:
    """Measure, print and, where a file is named, write."""
    console = Console(stderr=True)
    result: dict[str, Any] = {"benchmark": kind, "environment": describe(device), "rounds": rounds}
    if kind == "layers":
        result["ceilings"] = ceilings(device)
    rows: list[dict[str, Any]] = []
    result["rows"] = rows
    try:
        for row in _MEASURES[kind](rounds, device):
            console.print(_line(row), highlight=False, style="dim", markup=False)
            rows.append(row)
    except BaseException:
        if file is not None and rows:
            part = _write(result, file.with_suffix(".part.json"))
            console.print(f"what was measured before is in {part}", highlight=False, markup=False)
        raise
    if kind == "layers":
        result["geometric_mean"] = layers.geometric_mean(rows)
    if file is not None:
        # Written before it is shown: what was measured for an hour is not lost to a terminal.
        _write(result, file)
    show(result)


def _write(result: dict[str, Any], file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(result, indent=1) + "\n")
    return file


def show(result: dict[str, Any]) -> None:
    """The table of a result, for a terminal."""
    console = Console()
    environment = result["environment"]
    rounds = "1 round" if result["rounds"] == 1 else f"{result['rounds']} rounds"
    console.print(
        f"{result['benchmark']} on {environment['device']}, {environment['threads']} threads, "
        f"torch {environment['torch']}, {str(environment['date'])[:10]}, {rounds} in turns",
        highlight=False,
        soft_wrap=True,
    )
    columns, lines = table(result)
    drawn = Table(box=None, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        drawn.add_column(column, justify="left" if index == 0 else "right", no_wrap=index > 0, overflow="fold")
    for line in lines:
        drawn.add_row(*line)
    console.print(drawn)
    if "geometric_mean" in result:
        console.print(f"geometric mean {result['geometric_mean']:.2f}x", highlight=False)


def table(result: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and lines of a result, as text."""
    columns, line = _TABLES[result["benchmark"]]
    return columns, [line(row) for row in result["rows"]]


def ratio(entry: dict[str, Any], sign: str = "x") -> str:
    """A ratio with the quartiles of its rounds."""
    return f"{entry['median']:.2f}{sign} ({entry['low']:.2f}-{entry['high']:.2f})"


def milliseconds(seconds: float) -> str:
    """Three digits, in ms."""
    return f"{1000 * seconds:,.3g} ms" if seconds < 0.1 else f"{1000 * seconds:,.0f} ms"


# -- what is measured --------------------------------------------------------------------------------------------------


def _layers(rounds: int, device: torch.device) -> Rows:
    for case in layers.cases():
        yield layers.measure(case, rounds, device)


def _step(rounds: int, device: torch.device) -> Rows:
    cases = [case.on(device) for case in step.CASES]
    for case in cases:
        for mode in ("hssl", "assl"):
            yield step.against_plain(case, mode, rounds, device)
    yield step.one_forward_against_two(step.TRANSLATION.on(device), rounds, device)
    for case in cases:
        for mode in ("hssl", "assl"):
            yield step.share_outside(case, mode, rounds, device)


def _loss(rounds: int, device: torch.device) -> Rows:
    for examples in loss.SIZES:
        yield loss.measure(examples, rounds if examples < 8192 else 1, device)


def _data(rounds: int, device: torch.device) -> Rows:
    for transformation in ("translation", "rotation", "scale"):
        yield data.measure(transformation, 256, 2, rounds, device)


def _scaling(rounds: int, device: torch.device) -> Rows:
    for axis, values in scaling.AXES.items():
        for value in values:
            for formulation in scaling.FORMULATIONS:
                yield scaling.measure(axis, value, formulation, rounds, device)
    for formulation in scaling.FORMULATIONS:
        try:
            yield scaling.measure(scaling.PAPER, scaling.PAPER_BATCH, formulation, 0, device)
        except ConfigurationError as error:
            # The one point that a small machine has no memory for; all others fit where this package runs.
            Console(stderr=True).print(f"{scaling.PAPER}, {formulation}: {error}", highlight=False, markup=False)


_MEASURES: dict[str, Callable[[int, torch.device], Rows]] = {
    "layers": _layers,
    "step": _step,
    "loss": _loss,
    "data": _data,
    "scaling": _scaling,
}
KINDS = tuple(_MEASURES)

# -- how it is told ----------------------------------------------------------------------------------------------------


def _line(row: dict[str, Any]) -> str:
    shown = []
    for name, value in row.items():
        if isinstance(value, dict):
            shown.append(f"{name} {ratio(value)}")
        elif isinstance(value, float):
            shown.append(f"{name} {value:.4g}")
        else:
            shown.append(f"{name} {value}")
    return "  ".join(shown)


def _layer_line(row: dict[str, Any]) -> tuple[str, ...]:
    first, count = row["layers"][0], len(row["layers"])
    name = f"{row['network']} {row['transformation']} {first}" + (f" and {count - 1} alike" if count > 1 else "")
    size = f"{row['input']}x{row['input']}"
    times = milliseconds(row["plain_seconds"]), milliseconds(row["planned_seconds"])
    note = ", same code" if row["same_code"] else ""
    return name, size, str(row["batch"]), *times, ratio(row["speedup"]) + note


def _step_line(row: dict[str, Any]) -> tuple[str, ...]:
    name, batch = f"{row['stem']} {row.get('mode', '')}".strip(), str(row["batch"])
    if row["comparison"] == "plain":
        times = milliseconds(row["plain_seconds"]), milliseconds(row["seconds"])
        return name, batch, *times, ratio(row["speedup"]), f"{row['speedup_all_streams']['median']:.2f}x"
    if row["comparison"] == "outside":
        share = {key: 100 * value for key, value in row["share"].items() if key != "rounds"}
        times = milliseconds(row["seconds"]), milliseconds(row["outside_seconds"])
        return f"{name}, share outside", batch, *times, ratio(share, " %"), ""
    times = milliseconds(row["assl_seconds"]), milliseconds(row["hssl_seconds"])
    return f"{name}, H-SSL over A-SSL", batch, *times, ratio(row["time_ratio"], ""), ""


def _loss_line(row: dict[str, Any]) -> tuple[str, ...]:
    dense = "dense_seconds" in row
    return (
        f"{row['examples']:,}",
        milliseconds(row["tiles_seconds"]),
        milliseconds(row["dense_seconds"]) if dense else "-",
        f"{row['speedup']['median']:.2f}x" if dense else "-",
        f"{row['tiles_megabytes']:.0f} MB",
        f"{row['dense_megabytes']:.0f} MB" if dense else "-",
        f"{row['loss_difference']:.0e}, {row['gradient_difference']:.0e}" if dense else "-",
    )


def _data_line(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["transformation"],
        str(row["batch"]),
        milliseconds(row["loader_seconds"]),
        milliseconds(row["device_seconds"]),
        ratio(row["speedup"]),
    )


def _scaling_line(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{row['axis']} {row['value']:g}",
        row["formulation"],
        milliseconds(row["seconds"]),
        f"{row['megabytes']:.0f} MB",
    )


_TABLES: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], tuple[str, ...]]]] = {
    "layers": (("layer", "input", "batch", "plain", "planned", "speed-up"), _layer_line),
    "step": (("step", "batch", "before", "after", "ratio", "all streams"), _step_line),
    "loss": (("examples", "tiles", "dense", "ratio", "memory", "dense's", "differences"), _loss_line),
    "data": (("two views by", "batch", "loader", "on the device", "speed-up"), _data_line),
    "scaling": (("point", "formulation", "step", "peak memory"), _scaling_line),
}
