"""The report as Markdown: every number is a record's."""

from pathlib import Path

from experiments.fake_grid import SEEDS, grid
from hssl.experiments.entries import entries
from hssl.experiments.markdown import markdown


def test_every_cell_has_a_line(tmp_path: Path) -> None:
    records = grid(tmp_path, {})
    text = markdown(records, {})
    for entry in entries(records):
        assert f"| {entry.readout} | 3 |" in text


def test_failures_are_told(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS)
    gone = {name: "RuntimeError: <disk> full\nTraceback" for name in list(records) if "frozen" in name}
    kept = {name: record for name, record in records.items() if name not in gone}
    assert "RuntimeError: <disk> full" in markdown(kept, gone)
