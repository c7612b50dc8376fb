"""Cells of the manifest with their runs, and how their numbers are written. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast, get_args

from hssl.analysis.differences import Difference, interval, welch
from hssl.analysis.summaries import DATASETS, NONE, Summary, Trained, measured, training
from hssl.config import BudgetName
from hssl.errors import DataError
from hssl.paper import numbers as paper
from hssl.paper.grid import ANY_PAIRS, ARTEFACTS, SHARED_TRUNK, Artefact, Cell, cells
from hssl.runs.record import RunRecord

NAME = re.compile(r"(?P<run>.+)-(?P<budget>{})-seed(?P<seed>\d+)".format("|".join(get_args(BudgetName))))
"""Of a run: 'RECIPE-BUDGET-seedN', with what is changed after the recipe."""
TITLES: dict[Artefact, str] = {
    "table1": "Table 1: networks with structure",
    "table2": "Table 2: networks without structure",
    "figure2-base-space": "Figure 2, left: the extent of g0",
    "figure2-distance": "Figure 2, right: the distance between g1 and g2",
    "beyond": "Beyond the paper",
}
PAPERS = "paper"
"""Stands for the paper's own numbers where a measure is asked for."""


@dataclass(frozen=True)
class Entry:
    """A cell of the manifest with its runs.

    Attributes:
        cell: what the paper has there.
        records: of its runs, by seed.
        failed: how many runs failed.
    """

    cell: Cell
    records: tuple[RunRecord, ...]
    failed: int

    @property
    def readout(self) -> Summary | None:
        """Test accuracy of the readout, the measure of the paper."""
        return self.measured("readout")

    def measured(self, measure: str) -> Summary | None:
        """Test accuracy by one of `tables.MEASURES`, or 'paper' for the paper's own number."""
        return self.paper if measure == PAPERS else measured(self.records, measure)

    @property
    def training(self) -> str:
        """The column of the paper's tables, and what is else than in it: 'H-SSL', 'H-SSL, any pairs'."""
        return training(self.cell.mode, ANY_PAIRS if self.cell.variant == ANY_PAIRS else None)

    @property
    def row(self) -> str:
        """The row of the paper's tables: 'MNIST · scale · SESN'; another reading of its network is one of its own."""
        reading = f", {SHARED_TRUNK}" if self.cell.variant == SHARED_TRUNK else ""
        return f"{DATASETS[self.cell.dataset]} · {self.cell.transformation} · {self.cell.network}{reading}"

    @property
    def trained(self) -> Trained:
        return Trained(self.row, self.training, self.records)

    @property
    def text(self) -> str:
        """The readout's mean and spread, or how many runs failed."""
        if self.readout is None:
            return f"{self.failed} failed" if self.failed else NONE
        return str(self.readout)

    @property
    def place(self) -> str:
        """Where a point of a figure stands on its axis."""
        return "any" if self.cell.value is None else f"{self.cell.value:g}"

    @property
    def paper(self) -> Summary | None:
        number = self.cell.expected
        return None if number is None else Summary(number.mean, number.std, paper.RUNS)

    @property
    def to_paper(self) -> Difference | None:
        """Ours minus the paper's."""
        return welch(self.readout, self.paper)


def entries(records: Mapping[str, RunRecord], failures: Iterable[str] = ()) -> list[Entry]:
    """The cells that runs were made for, in the order of the paper.

    Args:
        records: by the name of their run, 'RECIPE-BUDGET-seedN'.
        failures: names of runs that failed.

    Raises:
        DataError: a name that is none, or runs of several budgets, which no table may mix.
    """
    by_run: dict[str, list[RunRecord]] = {}
    failed: dict[str, int] = {}
    budgets = set()
    for name in (*records, *failures):
        match = NAME.fullmatch(name)
        if match is None:
            raise DataError(f"'{name}' is not the name of a run", expected="RECIPE-BUDGET-seedN")
        budgets.add(match["budget"])
        if name in records:
            by_run.setdefault(match["run"], []).append(records[name])
        else:
            failed[match["run"]] = failed.get(match["run"], 0) + 1
    if len(budgets) > 1:
        raise DataError(
            "these runs are of several budgets", got=", ".join(sorted(budgets)), hint="one folder for each budget"
        )
    every = cells(ARTEFACTS, tuple(paper.EPOCHS), budget=cast(BudgetName, next(iter(budgets), "quick")))
    made = by_run.keys() | failed.keys()
    # A study whose only runs are the paper's has not been begun, nor a figure whose only runs are a table's or study's.
    of_the_paper = {cell.run for cell in every if cell.study is None}
    of_others = {cell.run for cell in every if cell.artefact.startswith("table") or cell.study is not None}
    begun = {
        _whole(cell) for cell in every if cell.run in made - (of_the_paper if cell.study is not None else of_others)
    }
    return [
        Entry(cell, tuple(sorted(by_run.get(cell.run, ()), key=lambda record: record.seed)), failed.get(cell.run, 0))
        for cell in every
        if cell.run in made and (cell.artefact.startswith("table") or _whole(cell) in begun)
    ]


def _whole(cell: Cell) -> str:
    """What is shown as a whole: a study, or a figure, of one row."""
    return f"{cell.study or cell.artefact}, {cell.stem.name}"


def lines(found: Sequence[Entry]) -> list[tuple[str, ...]]:
    """A line a cell for the terminal: where it stands, its run, ours, how many runs, the paper's, the difference."""
    return [
        (
            TITLES[entry.cell.artefact].split(":")[0],
            entry.cell.run,
            entry.text,
            str(len(entry.records)),
            NONE if entry.paper is None else str(entry.paper),
            interval(entry.to_paper),
        )
        for entry in found
    ]
