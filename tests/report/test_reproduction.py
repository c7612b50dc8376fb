"""The report of a reproduction: every number is a record's."""

import re
import shutil
import threading
from pathlib import Path

import pytest

from fakes.grid import SEEDS, grid
from hssl.analysis.entries import entries
from hssl.errors import DataError
from hssl.files import claimed
from hssl.report.html import page
from hssl.report.markdown import markdown
from hssl.report.reproduction import reproduction, write_reproduction
from hssl.runs.record import write
from hssl.runs.run import GridFolder
from report.test_comparison import Page


def test_every_cells_number_is_its_records(tmp_path: Path) -> None:
    records = grid(tmp_path, {})
    text = page(reproduction(records, {}))
    found = dict(re.findall(r'data-value="([\d.]+)" data-cell="([\w-]+)" data-measure="readout"', text))
    shown = {run: float(value) for value, run in found.items()}
    tables = [entry for entry in entries(records) if entry.cell.artefact.startswith("table")]
    assert len(tables) == 12
    for entry in tables:
        mean = sum(record.evaluation.readout.accuracy for record in entry.records if record.evaluation.readout) / 3
        assert shown[entry.cell.run] == pytest.approx(mean)
        assert str(entry.readout) in text
        assert f"paper {entry.cell.expected}" in text
    assert page(reproduction(dict(reversed(records.items())), {})) == text


def test_the_page_is_whole_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    shown = Page(page(reproduction(grid(tmp_path, SEEDS, seeds=2, study="loss"), {})))
    assert len(shown.identifiers) == len(set(shown.identifiers))
    assert {"table1", "table2", "claim1", "agreement", "probes", "equivariance", "study-loss", "costs"} <= set(
        shown.identifiers
    )
    assert set(shown.references) <= set(shown.identifiers)
    assert shown.resources == ["data:,"]


def test_failures_are_shown_with_their_error(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS)
    gone = {name: "RuntimeError: <disk> full\nTraceback" for name in list(records) if "frozen" in name}
    kept = {name: record for name, record in records.items() if name not in gone}
    text = page(reproduction(kept, gone))
    assert "3 failed" in text
    assert "&lt;disk&gt; full" in text


def test_the_report_is_made_from_the_folder_alone(tmp_path: Path) -> None:
    records = grid(tmp_path / "runs", SEEDS)
    folder = GridFolder(tmp_path / "grid")
    for name, record in records.items():
        write(record, folder.record_file(name))
    shutil.rmtree(tmp_path / "runs")
    file = write_reproduction(folder.path)
    assert file.read_text() == page(reproduction(records, {}))
    assert (folder.path / "report.md").read_text() == markdown(reproduction(records, {}))


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no records"):
        write_reproduction(tmp_path)


def test_a_damaged_record_is_shown_and_spoils_no_other(tmp_path: Path) -> None:
    records = grid(tmp_path / "runs", SEEDS, seeds=1)
    folder = GridFolder(tmp_path / "grid")
    for name, record in records.items():
        write(record, folder.record_file(name))
    damaged = next(iter(records))
    text = folder.record_file(damaged).read_text()
    folder.record_file(damaged).write_text(text[:-100])
    page = write_reproduction(folder.path).read_text()
    assert "cut short" in page
    assert damaged in page
    shown = {name: record for name, record in records.items() if name != damaged}
    assert all(record.recipe in page for record in shown.values())
    for name in shown:
        folder.record_file(name).unlink()
    with pytest.raises(DataError, match="no record in"):
        write_reproduction(folder.path)


def test_a_report_waits_for_the_one_that_is_written(tmp_path: Path) -> None:
    folder = GridFolder(tmp_path / "grid")
    name, record = next(iter(grid(tmp_path / "runs", SEEDS, seeds=1).items()))
    write(record, folder.record_file(name))
    with claimed(folder.path):
        thread = threading.Thread(target=write_reproduction, args=(folder.path,))
        thread.start()
        thread.join(0.3)
        assert not (folder.path / "report.md").exists()
    thread.join(30)
    assert (folder.path / "report.html").exists()
