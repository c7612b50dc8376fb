"""Accuracies of runs summarised: modes side by side for each cell of the paper's tables, with the paper's number."""

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple, cast

from hssl.config import flat_fields
from hssl.errors import DataError
from hssl.paper import numbers as paper
from hssl.paper.grid import ANY_PAIRS
from hssl.runs.record import RunRecord


class _Names(dict[str, str]):
    """A way of training that the paper does not have is called what it is."""

    def __missing__(self, mode: str) -> str:
        return mode


MODES = _Names({"a-ssl": "A-SSL", "h-ssl": "H-SSL", "hybrid": "Hybrid", "frozen": "Frozen", "supervised": "Supervised"})
MEASURES: Mapping[str, str] = {
    "readout": "Readout",
    "linear_probe": "Linear probe",
    "knn": "kNN",
    "few_labels": "10-shot",
}
"""Ways to read the same features: the field of an evaluation, and its name for people."""
DATASETS = {"digits": "Digits", "mnist": "MNIST", "cifar10": "CIFAR-10", "tiny-imagenet": "Tiny ImageNet"}
_TRANSFORMATIONS = ("rotation", "translation", "scale")
NONE = "–"


@dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation (n - 1 in the denominator; None for a single value) of `count` values.

    `by_seed` has the values where they are those of runs; the paper's are not known. It is no part of what is equal.
    """

    mean: float
    std: float | None
    count: int
    by_seed: Mapping[int, float] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {NONE if self.std is None else f'{self.std:.1f}'}"


def summarise(values: Iterable[float | None] | Mapping[int, float | None]) -> Summary | None:
    """The summary of the values that are there, by seed where they are a mapping; None where there is none."""
    by_seed = (
        {seed: value for seed, value in values.items() if value is not None} if isinstance(values, Mapping) else {}
    )
    there = [value for value in (values.values() if isinstance(values, Mapping) else values) if value is not None]
    if not there:
        return None
    return Summary(statistics.fmean(there), statistics.stdev(there) if len(there) > 1 else None, len(there), by_seed)


def measured(records: Iterable[RunRecord], measure: str) -> Summary | None:
    """The accuracies of runs by one of `MEASURES`, each of a seed of its own."""
    return summarise({record.seed: accuracy_of(record, measure) for record in records})


def within_a_sentence(measure: str) -> str:
    """The name of one of `MEASURES` where it does not stand first: 'linear probe', 'kNN'."""
    return MEASURES[measure] if measure == "knn" else MEASURES[measure].lower()


def accuracy_of(record: RunRecord, measure: str) -> float | None:
    """In percent; None where it was not measured."""
    result = getattr(record.evaluation, measure)
    return None if result is None else float(result.accuracy)


@dataclass(frozen=True)
class Cell:
    """One row of the paper's tables: data, transformation and network."""

    dataset: str
    transformation: str
    backbone: str

    @classmethod
    def of(cls, record: RunRecord) -> "Cell":
        return cls(record.dataset, record.transformation, record.backbone)

    @property
    def dataset_name(self) -> str:
        return DATASETS.get(self.dataset, self.dataset)

    @property
    def backbone_name(self) -> str:
        """The network as the paper's tables call it."""
        if self.backbone == "mlp":
            return "MLP"
        if self.backbone.startswith("cnn-"):
            return "CNN (6 x CHW)"
        return {"rotation": "Rot-Eq.", "translation": "CNN", "scale": "SESN"}.get(self.transformation, self.backbone)

    def __str__(self) -> str:
        return f"{self.dataset_name} · {self.transformation} · {self.backbone_name}"

    @property
    def order(self) -> tuple[int, str, bool, int, str]:
        datasets = list(DATASETS)
        known = datasets.index(self.dataset) if self.dataset in datasets else len(datasets)
        structured = not (self.backbone == "mlp" or self.backbone.startswith("cnn-"))
        groups = _TRANSFORMATIONS
        group = groups.index(self.transformation) if self.transformation in groups else len(groups)
        return known, self.dataset, not structured, group, self.backbone


class Trained(NamedTuple):
    """The runs of one way of training in one row of a table."""

    row: str
    training: str
    records: Sequence[RunRecord]


@dataclass(frozen=True)
class Row:
    """One mode in one cell: the runs that differ in nothing but the seed."""

    cell: Cell
    mode: str
    records: tuple[RunRecord, ...]
    paper: Summary | None
    """The paper's number for this cell; None where it has none."""
    variant: str
    """What sets it apart from another row of the same cell and mode in a word; empty where nothing does."""
    note: str
    """In what else this row differs from another of the same cell and mode; which runs were interrupted."""

    @property
    def mode_name(self) -> str:
        """'H-SSL', 'H-SSL, any pairs'."""
        return training(self.mode, self.variant)

    @property
    def trained(self) -> Trained:
        return Trained(str(self.cell), f"{self.mode_name} ({self.note})" if self.note else self.mode_name, self.records)

    @property
    def readout(self) -> Summary | None:
        return self.measured("readout")

    def measured(self, measure: str) -> Summary | None:
        """The accuracies by one of `MEASURES`."""
        return measured(self.records, measure)


def training(mode: str, variant: str | None = None) -> str:
    """How a way of training is called."""
    name = MODES.get(mode, mode)
    return f"{name}, {variant}" if variant else name


def comparison_table(records: Sequence[RunRecord]) -> list[Row]:
    """Rows in the order of the paper's tables. Runs are averaged only where everything but the seed agrees.

    Raises:
        DataError: there is no record, or two records are of the same run.
    """
    if not records:
        raise DataError("there are no records to compare", expected="one record or more")
    variants: dict[tuple[Cell, str], dict[str, list[RunRecord]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        variants[Cell.of(record), record.mode][_all_but_the_seed(record)].append(record)
    rows = []
    order = list(MODES)
    for cell, mode in sorted(
        variants, key=lambda key: (key[0].order, order.index(key[1]) if key[1] in order else len(order))
    ):
        groups = list(variants[cell, mode].values())
        told_apart = differing_fields([group[0] for group in groups])
        for group in groups:
            runs = tuple(sorted(group, key=lambda record: record.seed))
            seeds = [record.seed for record in runs]
            if len(set(seeds)) < len(seeds):
                twice = next(seed for seed in seeds if seeds.count(seed) > 1)
                raise DataError(
                    f"two records are of the same run: {runs[0].recipe}, seed {twice}",
                    hint="keep one of them; counting a seed twice would make the spread look smaller than it is",
                )
            of_this = {name: values[groups.index(group)] for name, values in told_apart.items()}
            variant = ANY_PAIRS if of_this.get(_DISTANCE, 0) is None else ""
            notes = [f"{name} {value}" for name, value in of_this.items() if not (variant and name == _DISTANCE)]
            notes += [
                f"seed {record.seed} interrupted at epoch {record.evaluation.epoch} "
                f"of {record.configuration['trainer']['epochs']}"
                for record in runs
                if not record.evaluation.complete
            ]
            rows.append(Row(cell, mode, runs, _paper(cell, mode), variant, "; ".join(notes)))
    return rows


_DISTANCE = "views.max_distance"
_TOLD_ELSEWHERE = {"seed", "recipe", "data.root", "group.name", "method.name", "views.name"}


def differing_fields(records: Sequence[RunRecord]) -> dict[str, list[Any]]:
    """Configuration fields whose values differ between records, each with its value in every record."""
    flat = [flat_fields(record.configuration) for record in records]
    names = sorted({name for tree in flat for name in tree} - _TOLD_ELSEWHERE)
    # Which parts a run has is told by its row and mode; only fields that several have can differ.
    differ = [name for name in names if len({json.dumps(tree[name]) for tree in flat if name in tree}) > 1]
    return {name: [tree.get(name) for tree in flat] for name in differ}


def common_fields(records: Sequence[RunRecord]) -> dict[str, Any]:
    """Configuration fields that have one value in all records."""
    differing = differing_fields(records)
    return {
        name: value
        for name, value in flat_fields(records[0].configuration).items()
        if name not in differing and name not in _TOLD_ELSEWHERE
    }


def provenance(records: Sequence[RunRecord]) -> str:
    """Where, when and with which budget the runs were made, in sentences."""
    tell = _values
    threads = tell(record.environment.get("threads", "unknown") for record in records)
    days = sorted({day for record in records if (day := _day(record.environment.get("date"))) is not None})
    when = "" if not days else f", {days[0]}" if days[0] == days[-1] else f", {days[0]} to {days[-1]}"
    images = tell(
        record.evaluation.data.get("train_images") or record.configuration["data"]["train_images"] or "all"
        for record in records
    )
    return (
        f"Made on {tell(record.device for record in records)} with {threads} thread{'' if threads == '1' else 's'}, "
        f"torch {tell(record.environment.get('torch', 'unknown') for record in records)}{when}. "
        f"Budget {tell(record.budget for record in records)}: "
        f"{tell(record.configuration['trainer']['epochs'] for record in records)} epochs, "
        f"batch {tell(record.configuration['trainer']['batch_size'] for record in records)}, "
        f"learning rate {tell(record.configuration['optimizer']['learning_rate'] for record in records)}, "
        f"width {tell(record.configuration['backbone']['width'] for record in records)}, "
        f"streams {tell(record.configuration['views'].get('streams', 'all') for record in records)}, "
        f"{images} training images; seeds {tell(record.seed for record in records)}."
    )


def _paper(cell: Cell, mode: str) -> Summary | None:
    number = paper.NUMBERS.get(cast(paper.Cell, (cell.dataset, cell.transformation, cell.backbone_name, mode)))
    return None if number is None else Summary(number.mean, number.std, paper.RUNS)


def _all_but_the_seed(record: RunRecord) -> str:
    tree = {name: value for name, value in record.configuration.items() if name not in ("seed", "recipe")}
    tree["data"] = {name: value for name, value in tree["data"].items() if name != "root"}
    return json.dumps(tree, sort_keys=True)


def listed(words: Sequence[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _values(values: Iterable[Any]) -> str:
    """Every value once, ascending: '1', '6 and 12', '0, 1 and 2'."""
    return listed([f"{value:,}" if isinstance(value, int) else str(value) for value in _ascending(values)])


def _ascending(values: Iterable[Any]) -> list[Any]:
    unique = set(values)
    numbers = sorted(value for value in unique if isinstance(value, int | float))
    return [*numbers, *sorted(str(value) for value in unique if not isinstance(value, int | float))]


def _day(moment: object) -> date | None:
    try:
        return datetime.fromisoformat(str(moment)).date()
    except ValueError:
        return None
