"""The search that short budgets owe their optimizer to: `python -m hssl.experiments.search --out DIR`.

Every candidate trains A-SSL and H-SSL on each structured row of MNIST at the quick budget, with a seed that no result
has, and is measured on images held out of the training set. The test images are not looked at. The candidate with the
highest accuracy of the trained networks is chosen, whatever it gains over random weights. LARS stands beside them: at
each step it moves a layer by a share of its norm, so that a rate of it serves one number of steps, and a budget needs
one that serves all of its recipes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from types import MappingProxyType
from typing import Any

from hssl.config import override
from hssl.experiments.cell import GridFolder
from hssl.experiments.recipes import recipe
from hssl.experiments.record import RunRecord, read
from hssl.experiments.reproduce import Task, run
from hssl.files import write_atomically
from hssl.places import below, from_environment

BUDGET = "quick"
SEED = 1000
HELD_OUT_IMAGES = 10_000
ROWS = ("mnist-scale", "mnist-rotation", "mnist-translation")
MODES = ("hssl", "assl")
# The readout is no part of the choice: one epoch of it costs little.
_ALL: Mapping[str, Any] = MappingProxyType(
    {"seed": SEED, "data.validation_images": HELD_OUT_IMAGES, "evaluation.readout_epochs": 1}
)
MEASURES = ("linear_probe", "knn", "few_labels")
BESIDE = "lars, 2"
CANDIDATES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "adamw, 1e-3": {"optimizer.name": "adamw", "optimizer.learning_rate": 1e-3},
        "adamw, 2e-3": {"optimizer.name": "adamw", "optimizer.learning_rate": 2e-3},
        "adamw, 4e-3": {"optimizer.name": "adamw", "optimizer.learning_rate": 4e-3},
        "adamw, 8e-3": {"optimizer.name": "adamw", "optimizer.learning_rate": 8e-3},
        "adamw, 1.6e-2": {"optimizer.name": "adamw", "optimizer.learning_rate": 1.6e-2},
        # The sum of rate x trust coefficient over 312 steps is about the paper's over 7,000; norms at the paper's rate.
        BESIDE: {"optimizer.name": "lars", "optimizer.learning_rate": 2.0, "optimizer.norm_learning_rate": 0.1},
    }
)  # fmt: skip


def tasks(root: str | None = None) -> list[Task]:
    """The runs of the search; `root` is a folder with mnist/ or MNIST's own, None for HSSL_DATA or the hub."""
    found = []
    for candidate, settings in CANDIDATES.items():
        for row in ROWS:
            for mode in MODES:
                config = override(recipe(f"{row}-{mode}", BUDGET), {**_ALL, **settings})
                config = from_environment(config) if root is None else below(config, root, alone=True)
                found.append(Task(_name(row, mode, candidate), config))
    return found


def _name(row: str, mode: str, candidate: str) -> str:
    return f"{row}-{mode}-{candidate.replace(', ', '-')}-{BUDGET}-seed{SEED}"


def accuracy(record: RunRecord) -> float:
    """The mean of linear probe, kNN and the probe from few labels, in percent."""
    measures = [getattr(record.evaluation, name) for name in MEASURES]
    return float(mean(measure.accuracy for measure in measures))


def scores(records: Mapping[str, RunRecord]) -> dict[str, dict[str, float]]:
    """By candidate and place (row-mode), the accuracy on held-out images; candidates without all runs are left out."""
    found: dict[str, dict[str, float]] = {}
    for candidate in CANDIDATES:
        names = {f"{row}-{mode}": _name(row, mode, candidate) for row in ROWS for mode in MODES}
        if all(name in records for name in names.values()):
            found[candidate] = {place: accuracy(records[name]) for place, name in names.items()}
    return found


def chosen(found: Mapping[str, Mapping[str, float]]) -> str:
    """The candidate whose trained networks are best on the average over rows and modes; LARS is none."""
    return max(found.keys() - {BESIDE}, key=lambda candidate: mean(found[candidate].values()))


def page(records: Mapping[str, RunRecord]) -> str:
    """The search as a Markdown page."""
    found = scores(records)
    best = chosen(found)
    places = [f"{row}-{mode}" for row in ROWS for mode in MODES]
    lines = [
        "# How the optimizer of short budgets was chosen",
        "",
        *(__doc__ or "").strip().splitlines()[2:],
        "",
        f"Accuracies in percent, the mean of linear probe, kNN and the probe from 10 labels a class, on "
        f"{HELD_OUT_IMAGES:,} images held out of MNIST's training set; seed {SEED}. Chosen: **{best}**.",
        "",
        f"| candidate | {' | '.join(places)} | mean |",
        f"|---|{'---:|' * (len(places) + 1)}",
    ]
    for candidate, here in sorted(found.items(), key=lambda item: -mean(item[1].values())):
        cells = [f"{here[place]:.1f}" for place in places]
        name = f"({candidate})" if candidate == BESIDE else candidate
        lines.append(f"| {name} | {' | '.join(cells)} | {mean(here.values()):.1f} |")
    some = next(iter(records.values()))
    made = [some.device, f"torch {some.environment.get('torch')}", str(some.environment.get("date"))[:10]]
    return "\n".join([*lines, "", f"Made on {', '.join(made)}.", ""])


def records_of(folder: Path) -> dict[str, RunRecord]:
    """The records of a search by name."""
    return {file.stem: read(file) for file in sorted((folder / "records").glob("*.json"))}


def main(arguments: Sequence[str]) -> int:
    """Makes what is missing of the search, as `hssl reproduce` does, and writes its page."""
    parser = argparse.ArgumentParser(prog="python -m hssl.experiments.search", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/search"))
    parser.add_argument("--data-root")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args(arguments)
    outcome = run(tasks(given.data_root), GridFolder(given.out), given.jobs)
    for name, message in outcome.failures.items():
        print(f"failed: {name}: {message}", file=sys.stderr)
    if not outcome.failures:
        write_atomically(given.out / "README.md", page(outcome.records))
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
