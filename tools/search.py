"""The search that short budgets owe their settings to: `python -m tools.search --out DIR`.

Every candidate trains A-SSL and H-SSL at the quick budget on each row that its question is about, with a seed that no
result has, and is measured on images held out of MNIST's training set. The test images are not looked at. The
candidate with the highest accuracy of the trained networks is chosen, whatever it gains over random weights. A
candidate in brackets stands beside the others and cannot be chosen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from types import MappingProxyType
from typing import Any

from hssl.config import override
from hssl.files import write_atomically
from hssl.paper.recipes import recipe
from hssl.places import below, from_environment
from hssl.runs.grid import Task, run
from hssl.runs.record import RunRecord, read
from hssl.runs.run import GridFolder

BUDGET = "quick"
SEED = 1000
HELD_OUT_IMAGES = 10_000
MODES = ("hssl", "assl")
# What a later choice may change in the budget is said here, so that the search stays what it was. The readout is no
# part of the choice: one epoch of it costs little.
_ALL: Mapping[str, Any] = MappingProxyType(
    {
        "seed": SEED,
        "data.validation_images": HELD_OUT_IMAGES,
        "evaluation.readout_epochs": 1,
        "data.train_images": 20_000,
        "trainer.epochs": 4,
        "trainer.batch_size": 256,
        "optimizer.warmup_epochs": 1.0,
    }
)
MEASURES = ("linear_probe", "knn", "few_labels")
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """Something to choose: candidates by name, tried on the same rows. Those in `beside` cannot be chosen."""

    name: str
    why: str
    rows: tuple[str, ...]
    candidates: Mapping[str, Settings]
    beside: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """Row and mode, where each candidate is tried."""
        return tuple(f"{row}-{mode}" for row in self.rows for mode in MODES)

    def run(self, place: str, candidate: str) -> str:
        """The name of a run."""
        return f"{place}-{candidate.replace(', ', '-').replace(' ', '-')}-{BUDGET}-seed{SEED}"


def _adamw(*rates: str) -> dict[str, Settings]:
    return {f"adamw, {rate}": {"optimizer.name": "adamw", "optimizer.learning_rate": float(rate)} for rate in rates}


STRUCTURED = ("mnist-scale", "mnist-rotation", "mnist-translation")
# The sum of rate x trust coefficient over 312 steps is about the paper's over 7,000; norms at the paper's rate.
_LARS = {"optimizer.name": "lars", "optimizer.learning_rate": 2.0, "optimizer.norm_learning_rate": 0.1}
OPTIMIZER = Question(
    "The optimizer",
    "At each step LARS moves a layer by a share of its norm, so that a rate of it serves one number of steps, and a "
    "budget needs one that serves all of its recipes: it stands beside.",
    STRUCTURED,
    {**_adamw("1e-3", "2e-3", "4e-3", "8e-3", "1.6e-2"), "lars, 2": _LARS},
    beside=("lars, 2",),
)
MLP = Question(
    "The rate of table 2's MLP",
    "Nothing ties its weights together, and the paper's training without structure is not one that must help: where "
    "less training is better, a low rate is chosen.",
    ("mnist-translation-mlp",),
    _adamw("1e-4", "2.5e-4", "5e-4", "1e-3", "2e-3", "8e-3"),
)
CNN = Question(
    "The rate of table 2's CNN",
    "Both readings of it take the one chosen on its grouped reading.",
    ("mnist-scale-cnn",),
    _adamw("1e-3", "2e-3", "4e-3", "8e-3"),
)
QUESTIONS = (OPTIMIZER, MLP, CNN)


def tasks(root: str | None = None) -> list[Task]:
    """The runs of the search; `root` is a folder with mnist/ or MNIST's own, None for HSSL_DATA or the hub."""
    found: dict[str, Task] = {}
    for question in QUESTIONS:
        for candidate, settings in question.candidates.items():
            for place in question.places:
                config = override(recipe(place, BUDGET), {**_ALL, **settings})
                config = from_environment(config) if root is None else below(config, root, alone=True)
                name = question.run(place, candidate)
                found[name] = Task(name, config)
    return list(found.values())


def accuracy(record: RunRecord) -> float:
    """The mean of linear probe, kNN and the probe from few labels, in percent."""
    measures = [getattr(record.evaluation, name) for name in MEASURES]
    return float(mean(measure.accuracy for measure in measures))


def scores(question: Question, records: Mapping[str, RunRecord]) -> dict[str, dict[str, float]]:
    """By candidate and place (row-mode), the accuracy on held-out images; candidates without all runs are left out."""
    found: dict[str, dict[str, float]] = {}
    for candidate in question.candidates:
        names = {place: question.run(place, candidate) for place in question.places}
        if all(name in records for name in names.values()):
            found[candidate] = {place: accuracy(records[name]) for place, name in names.items()}
    return found


def chosen(question: Question, records: Mapping[str, RunRecord]) -> str:
    """The candidate whose trained networks are best on the average over rows and modes."""
    found = scores(question, records)
    open_to_choice = [candidate for candidate in found if candidate not in question.beside]
    return max(open_to_choice, key=lambda candidate: mean(found[candidate].values()))


def page(records: Mapping[str, RunRecord]) -> str:
    """The search as a Markdown page."""
    lines = [
        "# How the settings of short budgets were chosen",
        "",
        *(__doc__ or "").strip().splitlines()[2:],
        "",
        f"Accuracies in percent, the mean of linear probe, kNN and the probe from 10 labels a class, on "
        f"{HELD_OUT_IMAGES:,} images held out of MNIST's training set; seed {SEED}, so differences of about a point "
        "may be chance.",
    ]
    for question in QUESTIONS:
        found = scores(question, records)
        lines += [
            "",
            f"## {question.name}",
            "",
            f"{question.why} Chosen: **{chosen(question, records)}**.",
            "",
            f"| candidate | {' | '.join(question.places)} | mean |",
            f"|---|{'---:|' * (len(question.places) + 1)}",
        ]
        for candidate, here in sorted(found.items(), key=lambda item: -mean(item[1].values())):
            cells = [f"{here[place]:.1f}" for place in question.places]
            name = f"({candidate})" if candidate in question.beside else candidate
            lines.append(f"| {name} | {' | '.join(cells)} | {mean(here.values()):.1f} |")
    some = next(iter(records.values()))
    made = [some.device, f"torch {some.environment.get('torch')}", str(some.environment.get("date"))[:10]]
    return "\n".join([*lines, "", f"Made on {', '.join(made)}.", ""])


def records_of(folder: Path) -> dict[str, RunRecord]:
    """The records of a search by name."""
    return {file.stem: read(file) for file in sorted((folder / "records").glob("*.json"))}


def main(arguments: Sequence[str]) -> int:
    """Makes what is missing of the search, as `hssl reproduce` does, and writes its page."""
    parser = argparse.ArgumentParser(prog="python -m tools.search", description=__doc__)
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
