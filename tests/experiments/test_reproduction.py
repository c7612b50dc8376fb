"""The report of a reproduction: every number is a record's, and what the theory says is tested, not judged by eye."""

import re
import shutil
from pathlib import Path

import pytest

from experiments.fake_records import write_run
from hssl.errors import DataError
from hssl.experiments.cell import GridFolder
from hssl.experiments.differences import difference
from hssl.experiments.manifest import cells
from hssl.experiments.record import RunRecord, collect, write
from hssl.experiments.reproduce import tasks
from hssl.experiments.reproduction import entries, markdown, reproduction_page, statements, write_reproduction
from hssl.experiments.tables import summarise


def grid(folder: Path, accuracies: dict[str, list[float]], seeds: int = 3) -> dict[str, RunRecord]:
    """Records of MNIST's scale rows of both tables and its figures, with accuracies by run's name where they matter."""
    chosen = cells(["all"], ["mnist"], ["scale"])
    found = {}
    for task in tasks(chosen, range(seeds), "quick", {}):
        run, seed = task.name.removesuffix(f"-quick-seed{task.config.seed}"), task.config.seed
        accuracy = accuracies[run][seed] if run in accuracies else None
        found[task.name] = collect(write_run(folder / task.name, task.config, accuracy=accuracy))
    return found


SEEDS = {"mnist-scale-assl": [98.0, 98.4, 98.2], "mnist-scale-hssl": [98.1, 98.3, 98.0],
         "mnist-scale-cnn-assl": [95.1, 95.3, 95.2], "mnist-scale-cnn-hssl": [87.0, 86.0, 88.5]}  # fmt: skip


def test_every_cells_number_is_its_records(tmp_path: Path) -> None:
    records = grid(tmp_path, {})
    page = reproduction_page(records, {})
    found = dict(re.findall(r'data-value="([\d.]+)" data-cell="([\w-]+)"', page))
    shown = {run: float(value) for value, run in found.items()}
    tables = [entry for entry in entries(records) if entry.cell.artefact.startswith("table")]
    assert len(tables) == 8
    for entry in tables:
        mean = sum(record.evaluation.readout.accuracy for record in entry.records if record.evaluation.readout) / 3
        assert shown[entry.cell.run] == pytest.approx(mean)
        assert str(entry.readout) in page
        assert f"paper {entry.cell.expected}" in page
    text = markdown(records, {})
    for entry in entries(records):
        assert f"| {entry.readout} | 3 |" in text
    assert reproduction_page(dict(reversed(records.items())), {}) == page


def test_the_theory_is_tested(tmp_path: Path) -> None:
    said = statements(entries(grid(tmp_path, SEEDS)))
    assert len(said) == 2
    told = difference(summarise(SEEDS["mnist-scale-hssl"]), summarise(SEEDS["mnist-scale-assl"]))
    assert told is not None
    assert f"p = {told.p:.2g}" in said[0]
    assert said[0].startswith("mnist-scale, with structure")
    assert said[0].endswith("equal to within 2 points.")
    assert said[1].endswith("H-SSL stays behind, as it should.")


@pytest.mark.parametrize(
    ("hssl", "verdict"),
    [([90.0, 90.2, 90.1], ": different."), ([70.0, 99.0, 85.0], "neither shown to be equal nor to be different.")],
)
def test_other_runs_have_another_verdict(hssl: list[float], verdict: str, tmp_path: Path) -> None:
    said = statements(entries(grid(tmp_path, SEEDS | {"mnist-scale-hssl": hssl})))
    assert said[0].endswith(verdict)


def test_one_run_proves_nothing(tmp_path: Path) -> None:
    said = statements(entries(grid(tmp_path, SEEDS, seeds=1)))
    assert all("cannot be tested" in text for text in said)


def test_shared_runs_stand_in_tables_and_figures(tmp_path: Path) -> None:
    found = entries(grid(tmp_path, SEEDS))
    same = [entry.records for entry in found if entry.cell.run == "mnist-scale-hssl"]
    assert len(same) == 3
    assert same[0] == same[1] == same[2]


def test_failures_are_shown_with_their_error(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS)
    gone = {name: "RuntimeError: <disk> full\nTraceback" for name in list(records) if "frozen" in name}
    kept = {name: record for name, record in records.items() if name not in gone}
    page = reproduction_page(kept, gone)
    assert "3 failed" in page
    assert "&lt;disk&gt; full" in page
    assert "RuntimeError: <disk> full" in markdown(kept, gone)


def test_the_report_is_made_from_the_folder_alone(tmp_path: Path) -> None:
    records = grid(tmp_path / "runs", SEEDS)
    folder = GridFolder(tmp_path / "grid")
    for name, record in records.items():
        write(record, folder.record_file(name))
    shutil.rmtree(tmp_path / "runs")
    page = write_reproduction(folder.path)
    assert page.read_text() == reproduction_page(records, {})
    assert (folder.path / "report.md").read_text() == markdown(records, {})


def test_what_is_no_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no records"):
        write_reproduction(tmp_path)
    records = grid(tmp_path, SEEDS, seeds=1)
    name, record = next(iter(records.items()))
    with pytest.raises(DataError, match="not the name of a run"):
        entries({"something": record})
    with pytest.raises(DataError, match="several budgets"):
        entries({name: record, name.replace("quick", "smoke"): record})
