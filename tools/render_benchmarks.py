"""Render committed measurements: `python -m tools.render_benchmarks RESULTS PAGE [README] [--runs RECORDS]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hssl.analysis.summaries import provenance
from hssl.benchmarks import parity, plots, scaling
from hssl.benchmarks.run import KINDS, ratio, table
from hssl.errors import DataError, HsslError
from hssl.files import write_atomically
from hssl.runs.record import read_all
from tools.render import update

_MANY = 30
"""Rows above which a table is folded."""
_TITLES = {
    "step": "A training step",
    "layers": "Every layer of the paper's networks",
    "loss": "The contrastive objective",
    "data": "Batches and views",
    "scaling": "How a step grows",
}
_WORDS = {
    "step": (
        "Draw, cut the batch, transform, forward, objective, backward, LARS; networks at full width, random images.\n"
        "*Before* is the plain formulation: all streams, dense k x k kernels rebuilt each step, one grouped\n"
        "convolution. *After* is the step of `--views.streams sampled`, what the quick and smoke budgets use; *all\n"
        "streams* is the ratio with `--views.streams all`, what `--budget paper` uses. Both sides run in one process\n"
        "under the same settings, without the trainer's loop and its log. The share outside is what drawing, cutting\n"
        "and transforming alone takes."
    ),
    "layers": (
        "*lift* is a network's first layer, whose output has a stream for each group element; *planned* is what runs\n"
        "unless told otherwise. Forward and backward of one layer with all streams, at full width, by the plan that\n"
        "the cost model chooses, against the plain formulation. No stream is left out here: this is what arithmetic\n"
        "and memory layout give. Where the plan is the plain formulation itself, the table says that both are the\n"
        "same code: such a ratio is 1, and how far the measured one is from it shows the noise.\n"
        "Shortcuts (1 x 1) have no plan: their sides differ in the layout of memory alone. Networks of rotations turn\n"
        "the images instead of the filters: turning them is part of their first layer's time, and the layers behind\n"
        "it get maps that are turned already, as in the network."
    ),
    "loss": (
        "Tiles that are computed again in the backward pass, against all logits at once. Differences are relative: of\n"
        "the loss, and of the largest entry of a gradient. Memory is the growth of a fresh process's peak. From 8,192\n"
        "examples on a single round."
    ),
    "data": (
        "Two transformed views of a batch: uint8 images cut by index and transformed as one batch on the device,\n"
        "against a loader with two worker processes that transforms one image at a time."
    ),
    "scaling": (
        "H-SSL on the MNIST scale network about batch 64, six scales, width 1 and 32 pixels, each point a process of\n"
        "its own."
    ),
}
_PLOTS: dict[str, tuple[str, str, Callable[[dict[str, Any], Path], None]]] = {
    "layers": ("roofline.png", "Rates of all layers under the machine's ceilings", plots.roofline),
    "loss": ("loss.png", "Time and memory of the objective against N", plots.loss_curve),
    "scaling": ("growth.png", "Step time and memory against batch, |G|, width and resolution", plots.growth),
}


def page(
    results: dict[str, dict[str, Any]], folder: Path, found: Sequence[parity.Difference] = (), made: str = ""
) -> str:
    """The page in Markdown, with what sampled streams do to accuracy; its plots are drawn into `folder`.

    Args:
        results: measurements by kind.
        folder: of the plots.
        found: accuracies with sampled streams against all of them.
        made: how the runs behind those were made.
    """
    parts = [
        "# What it costs, measured",
        "Measured by `hssl bench` and rendered from the JSON files in `results/bench`; nothing here is typed by hand.\n"
        "Ratios are medians over rounds in which the contestants took turns in one process, with the quartiles of\n"
        "the rounds (the extremes below four rounds). Times belong to the device that is named; ratios carry over\n"
        "better, but not to every machine.",
    ]
    for kind in ("step", "layers", "loss", "data", "scaling"):
        if kind not in results:
            continue
        result = results[kind]
        environment = result["environment"]
        parts.append(f"## {_TITLES[kind]}")
        parts.append(_WORDS[kind])
        parts.append(
            f"{environment['device']}, {environment['threads']} threads, torch {environment['torch']}, "
            f"{str(environment['date'])[:10]}, revision {_revision(environment['git'])}, {result['rounds']} rounds."
        )
        if "geometric_mean" in result:
            slowest = min(
                (row for row in result["rows"] if not row["same_code"]), key=lambda row: row["speedup"]["median"]
            )
            name = f"{slowest['network']} {slowest['transformation']} {slowest['layers'][0]}"
            parts.append(
                f"Geometric mean over the networks' layers **{result['geometric_mean']:.2f}x**; the least with a plan "
                f"of its own is {name}: {ratio(slowest['speedup'])}."
            )
        if kind == "scaling":
            parts += _of_scaling(result["rows"])
        if kind in _PLOTS:
            name, title, draw = _PLOTS[kind]
            draw(result, folder / name)
            parts.append(f"![{title}]({folder.name}/{name})")
        lines = _markdown(*table(result))
        many = len(result["rows"]) > _MANY
        parts.append(
            f"<details><summary>All {len(result['rows'])} rows</summary>\n\n{lines}\n\n</details>" if many else lines
        )
    if found:
        parts.append("## What sampled streams do to accuracy")
        parts.append(
            "A-SSL and H-SSL compute only the streams that their pairs read; BatchNorm then sees a sample of what it\n"
            "would see of all. The same recipes with `--views.streams sampled` and `all`, quick budget; SE is the\n"
            "standard error of the difference of the means."
        )
        if made:
            parts.append(made)
        parts.append(_markdown(*parity.as_table(found)))
    return "\n\n".join(parts) + "\n"


def _of_scaling(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Memory of one step at the paper's batch, and time at a short budget's width, beside the plain formulation's."""
    told = []
    peaks = {row["formulation"]: row["megabytes"] for row in rows if row["axis"] == scaling.PAPER}
    if {"plain", "sampled", "all streams"} <= peaks.keys():
        plain = peaks["plain"]
        sides = " and ".join(
            f"{peaks[name] / 1000:.1f} GB with {words} (**{peaks[name] / plain:.0%}**)"
            for name, words in (("all streams", "all streams, as in the paper"), ("sampled", "sampled ones"))
        )
        told.append(
            f"At the paper's batch of {scaling.PAPER_BATCH:,} a single step adds {sides} to a process's peak memory, "
            f"where the plain formulation adds {plain / 1000:.1f} GB. A peak is of one process and varies between them."
        )
    narrow = {row["formulation"]: row["seconds"] for row in rows if (row["axis"], row["value"]) == ("width", 0.25)}
    if {"plain", "sampled", "all streams"} <= narrow.keys():
        told.append(
            f"At a quarter of the width, which short budgets have, sampled streams are "
            f"{narrow['plain'] / narrow['sampled']:.1f} and all streams {narrow['plain'] / narrow['all streams']:.2f} "
            "times as fast as the plain formulation: there, plans gain little and nearly all comes from the streams "
            "that are left out."
        )
    return told


def in_short(results: dict[str, dict[str, Any]]) -> str:
    """The ratios of a step and of the layers, for the README.

    Raises:
        DataError: no measurement of a step.
    """
    if "step" not in results:
        raise DataError("there is no measurement of a step to tell of", hint="hssl bench step --json FILE")
    environment = results["step"]["environment"]
    steps: dict[str, dict[str, tuple[str, str]]] = {}
    for row in results["step"]["rows"]:
        if row["comparison"] == "plain":
            ratios = (f"{row[name]['median']:.1f}x" for name in ("speedup", "speedup_all_streams"))
            sampled, every = ratios
            steps.setdefault(row["stem"], {})[row["mode"]] = sampled, every
    lines = [
        (stem, *(modes[mode][side] if mode in modes else "-" for side in (0, 1) for mode in ("hssl", "assl")))
        for stem, modes in steps.items()
    ]
    columns = ("a training step, full width", "H-SSL", "A-SSL", "H-SSL, all streams", "A-SSL, all streams")
    text = "How many times as fast as the plain formulation, measured side by side."
    if "layers" in results:
        text += f" Single layers, all streams: {results['layers']['geometric_mean']:.1f}x in the geometric mean."
    made = (
        f"{environment['device']}, {environment['threads']} threads, torch {environment['torch']}, "
        f"{str(environment['date'])[:10]}."
    )
    return f"{_markdown(columns, lines)}\n\n{text} {made}"


def main(arguments: list[str]) -> int:
    """RESULTS PAGE [README] [--runs RECORDS]: the JSON files of RESULTS into PAGE with its plots.

    README gets them in short, between its markers. RECORDS are runs: those that differ in nothing but their streams
    tell what sampled streams do to accuracy.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.render_benchmarks")
    parser.add_argument("results", metavar="RESULTS", type=Path)
    parser.add_argument("page", metavar="PAGE", type=Path)
    parser.add_argument("readme", metavar="README", type=Path, nargs="?")
    parser.add_argument("--runs", metavar="RECORDS", type=Path)
    asked = parser.parse_args(arguments)
    try:
        results = {kind: _read(file) for kind in KINDS if (file := asked.results / f"{kind}.json").exists()}
        if not results:
            raise DataError("there are no measurements to render", got=asked.results, hint="make bench")
        runs = parity.sides(read_all(asked.runs)) if asked.runs else ([], [])
        found = parity.differences(*runs)
        made = provenance([record for side in runs for record in side]) if found else ""
        write_atomically(asked.page, page(results, asked.page.parent / asked.page.stem, found, made))
        if asked.readme:
            update(asked.readme, {"bench": in_short(results)})
    except HsslError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _read(file: Path) -> dict[str, Any]:
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read", got=error) from None
    if not isinstance(result, dict) or not {"benchmark", "environment", "rows", "rounds"} <= result.keys():
        raise DataError(f"{file} holds no measurements", expected="a file that hssl bench --json wrote")
    return result


def _revision(git: str | None) -> str:
    """Short, with the '+' that says that the source had been changed since."""
    return "unknown" if git is None else git[:7] + ("+" if git.endswith("+") else "")


def _markdown(columns: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    head = f"| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}"
    return "\n".join([head, *(f"| {' | '.join(line)} |" for line in lines)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
