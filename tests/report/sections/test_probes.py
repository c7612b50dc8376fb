"""All measures side by side, of every cell of the tables."""

import dataclasses
from pathlib import Path

from fakes.grid import SEEDS, grid
from hssl.analysis.entries import entries
from hssl.report.document import Number
from hssl.report.sections.probes import probes, protocols


def test_every_cell_of_the_tables_has_all_of_them(tmp_path: Path) -> None:
    found = entries(grid(tmp_path, SEEDS))
    section = probes(found)
    assert section is not None
    (table,) = section.tables
    assert len(table.lines) == 12
    line = next(line for line in table.lines if line[:2] == ("MNIST · scale · SESN", "A-SSL"))
    # The fake runs' other measures are 3, 5 and 10 points below their readout.
    texts = [cell.text for cell in line[2:] if isinstance(cell, Number)]
    assert texts == ["98.2 ± 0.2", "95.2 ± 0.2", "93.2 ± 0.2", "88.2 ± 0.2"]
    assert table.headings[2:] == ("Readout", "Linear probe", "kNN", "10-shot")


def test_protocols_are_the_records_own(tmp_path: Path) -> None:
    assert protocols(entries(grid(tmp_path, SEEDS, seeds=1))) == (
        "Readout: readout of the paper, last epoch",
        "Linear probe: logistic regression",
        "kNN: 20 nearest neighbours",
        "10-shot: logistic regression from 10 labels a class",
    )


def test_protocols_that_differ_tell_whose_they_are(tmp_path: Path) -> None:
    found = entries(grid(tmp_path, SEEDS, seeds=1))
    changed = []
    for entry in found:
        readout = entry.records[0].evaluation.readout
        assert readout is not None
        if entry.cell.mode == "supervised":
            readout = readout.model_copy(update={"protocol": "through the network"})
        evaluation = entry.records[0].evaluation.model_copy(update={"readout": readout})
        changed.append(
            dataclasses.replace(entry, records=(entry.records[0].model_copy(update={"evaluation": evaluation}),))
        )
    told = protocols(changed)
    assert "Readout (A-SSL, H-SSL, Frozen): readout of the paper, last epoch" in told
    assert "Readout (Supervised): through the network" in told
    assert "kNN: 20 nearest neighbours" in told


def test_without_tables_there_is_no_section() -> None:
    assert probes([]) is None
