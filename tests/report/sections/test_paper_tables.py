"""Tables 1 and 2 as the paper has them, and figure 2: every number is a record's or the paper's."""

import re
from pathlib import Path

import pytest

from fakes.grid import SEEDS, grid
from hssl.analysis import claims
from hssl.analysis.entries import entries
from hssl.analysis.summaries import MEASURES
from hssl.report.document import Number
from hssl.report.sections.paper_tables import figure2, table


def test_pairs_without_a_limit_have_a_line_below_the_row(tmp_path: Path) -> None:
    accuracies = {"mnist-translation-hssl-any-distance": [80.0, 80.1, 80.3]}
    found = entries(grid(tmp_path, accuracies, of=(["table1"], ["mnist"], ["translation"])))
    section = table("table1", found)
    assert section is not None
    page, text = section.tables
    assert [line[2] for line in page.lines] == ["CNN", "CNN, any pairs"]
    assert [getattr(cell, "text", cell) for cell in page.lines[1][3:]] == ["–", "80.1 ± 0.2", "–", "–"]
    assert [line[1] for line in text.lines] == ["A-SSL", "H-SSL", "H-SSL, any pairs", "Frozen", "Supervised"]
    assert "H-SSL, any pairs" in {item.row.split(": ")[1] for item in claims.against_paper(found)}


def test_a_cell_tells_ours_the_papers_the_difference_and_the_verdict(tmp_path: Path) -> None:
    found = entries(grid(tmp_path, SEEDS))
    section = table("table1", found)
    assert section is not None
    page, text = section.tables
    assert page.headings == ("Data", "Transformation", "Network", "A-SSL", "H-SSL", "Frozen", "Supervised")
    (line,) = page.lines
    assert line[:3] == ("MNIST", "scale", "SESN")
    cell = line[3]
    assert isinstance(cell, Number)
    verdict = next(item.verdict for item in claims.against_paper(found) if item.row == "MNIST · scale · SESN: A-SSL")
    assert (cell.text, cell.detail, cell.run) == ("98.2 ± 0.2", "n 3", "mnist-scale-assl")
    assert cell.value == pytest.approx(98.2)
    assert cell.below[0] == "paper 98.6 ± 0.1"
    assert cell.below[1].startswith("−0.4 (")
    assert cell.below[2] == verdict
    assert len(text.lines) == 4
    assert (page.only, text.only) == ("page", "markdown")


def test_failed_runs_are_told_beside_those_that_are_there(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS)
    gone = [name for name in records if name.startswith("mnist-scale-frozen") or name == "mnist-scale-assl-quick-seed0"]
    section = table("table1", entries({n: r for n, r in records.items() if n not in gone}, gone))
    assert section is not None
    _, _, _, assl, _, frozen, _ = section.tables[0].lines[0]
    assert isinstance(assl, Number)
    assert isinstance(frozen, Number)
    assert assl.below[-1] == "1 failed"
    assert frozen.text == "3 failed"


def test_figure_2_has_a_plot_a_row_and_its_numbers(tmp_path: Path) -> None:
    found = entries(grid(tmp_path, SEEDS))
    section = figure2("figure2-base-space", found)
    assert section is not None
    (plot,) = section.plots
    assert plot.heading == "MNIST · scale · SESN"
    trend, numbers = section.tables
    lines = numbers.lines
    assert [line[1].text for line in lines if isinstance(line[1], Number)] == ["1", "2", "3", "4", "5"]
    assert lines[0][-1] == "mnist-scale-hssl-all-streams"
    change = [line[3].value for line in lines if isinstance(line[3], Number)]
    first, last = (line[2].value for line in (lines[0], lines[-1]) if isinstance(line[2], Number))
    assert first is not None
    assert last is not None
    assert change[0] == 0
    assert change[-1] == pytest.approx(100 * (last - first) / first)
    assert [line[:2] for line in trend.lines] == [("MNIST · scale · SESN", name) for name in MEASURES.values()]
    for entry in found:
        if entry.cell.artefact == "figure2-base-space":
            assert f"{entry.place}: {entry.readout}" in plot.svg


def test_places_are_written_in_full(tmp_path: Path) -> None:
    section = figure2("figure2-distance", entries(grid(tmp_path, SEEDS, seeds=1)))
    assert section is not None
    written = re.findall(r"<text[^>]*>([^<]*)</text>", section.plots[0].svg)
    assert {"0.0064", "0.0625", "0.1089", "0.25", "0.4356", "any"} <= set(written)


def test_what_has_no_runs_has_no_section(tmp_path: Path) -> None:
    tables_alone = grid(tmp_path, SEEDS, seeds=1, of=(["table1"], ["mnist"], ["scale"]))
    found = entries(tables_alone)
    assert table("table2", found) is None
    # The point that figure 2 shares with table 1 is no figure.
    assert figure2("figure2-base-space", found) is None
    assert figure2("figure2-distance", found) is None
