"""The report as Markdown: every number is a record's."""

from pathlib import Path

from fakes.grid import SEEDS, grid
from hssl.analysis.entries import entries
from hssl.report.document import Number, Plot, Section, Table
from hssl.report.markdown import markdown, to_markdown
from hssl.report.reproduction import reproduction


def test_every_cell_has_a_line(tmp_path: Path) -> None:
    records = grid(tmp_path, {})
    lines = markdown(reproduction(records, {})).splitlines()
    for entry in entries(records):
        assert entry.readout is not None
        if entry.cell.artefact.startswith("table"):
            words = f"| {entry.row} | {entry.cell.mode.replace('ssl', 'SSL').capitalize()}"
            assert any(
                line.lower().startswith(words.lower()) and f"| {entry.readout} | 3 | {entry.cell.expected} |" in line
                for line in lines
            )
        else:
            point = f"| {entry.place} | {entry.readout} (n 3) | "
            assert any(point in line and line.endswith(f" | {entry.cell.run} |") for line in lines)


def test_failures_are_told(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS)
    gone = {name: "RuntimeError: <disk> full\nTraceback" for name in list(records) if "frozen" in name}
    kept = {name: record for name, record in records.items() if name not in gone}
    text = markdown(reproduction(kept, gone))
    assert "RuntimeError: <disk> full" in text
    assert "Traceback" not in text


def test_tables_are_tables() -> None:
    table = Table("t", ("Row", "Number"), (("a|b", Number("1.0", 1.0, "n 3", ("below",))),), "how it is read")
    text = to_markdown(Section("S", ("said",), ("point",), tables=(table,), parts=(Section("Part"),)))
    assert text == (
        "## S\n\nsaid\n\n- point\n\n"
        "| Row | Number |\n| --- | ---: |\n| a\\|b | 1.0 (n 3); below |\n\nhow it is read\n\n"
        "### Part"
    )


def test_plots_are_left_to_the_page(tmp_path: Path) -> None:
    text = markdown(reproduction(grid(tmp_path, SEEDS, seeds=2), {}))
    assert "<svg" not in text
    assert "Learning curves" not in text
    assert "svg" not in to_markdown(Section("S", plots=(Plot("h", "<svg></svg>"),)))
