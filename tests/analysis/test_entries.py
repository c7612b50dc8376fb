"""Cells and their runs: by name, one budget, each run once."""

from pathlib import Path

import pytest

from fakes.grid import SEEDS, grid
from hssl.analysis.entries import entries
from hssl.errors import DataError
from hssl.paper.budgets import BUDGET_NAMES


def test_shared_runs_stand_in_tables_and_figures(tmp_path: Path) -> None:
    found = entries(grid(tmp_path, SEEDS))
    same = [entry.records for entry in found if entry.cell.run == "mnist-scale-hssl-all-streams"]
    assert len(same) == 2
    assert same[0] == same[1]
    assert {entry.cell.artefact for entry in found if entry.cell.run == "mnist-scale-hssl"} == {"table1"}


@pytest.mark.parametrize("budget", BUDGET_NAMES)
def test_runs_of_every_budget_are_known_by_name(tmp_path: Path, budget: str) -> None:
    record = next(iter(grid(tmp_path, SEEDS, seeds=1).values()))
    (entry,) = entries({f"mnist-scale-hssl-{budget}-seed0": record})
    assert entry.cell.run == "mnist-scale-hssl"


def test_what_is_no_run_of_a_grid_is_refused(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS, seeds=1)
    name, record = next(iter(records.items()))
    with pytest.raises(DataError, match="not the name of a run"):
        entries({"something": record})
    with pytest.raises(DataError, match="several budgets"):
        entries({name: record, name.replace("quick", "smoke"): record})
