"""The report is one page that holds the records' numbers and needs nothing from outside."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console
from scipy import stats

from fakes.records import comparison, configuration, record
from hssl.analysis.summaries import MEASURES, comparison_table
from hssl.report.comparison import comparison as report
from hssl.report.comparison import results, write_report
from hssl.report.document import Document
from hssl.report.html import page
from hssl.report.markdown import to_markdown
from hssl.report.terminal import terminal
from hssl.runs.record import RunRecord


def page_of(records: list[RunRecord]) -> str:
    return page(report(records))


VOID = {"meta", "link", "br", "img", "hr"}


class Page(HTMLParser):
    """Checks that elements close in order, and gathers identifiers, references and the cells of the results."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.identifiers: list[str] = []
        self.references: list[str] = []
        self.resources: list[str] = []
        self.rows: list[list[str]] = []
        self.in_results = False
        self.feed(text)
        assert self.open == []
        self.rows = [row for row in self.rows if row]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.identifiers.append(value)
            if name in ("xlink:href", "href", "src") and value:
                (self.references if value.startswith("#") else self.resources).append(value.removeprefix("#"))
            if name == "style" and value:
                self.references += re.findall(r"url\(#(.*?)\)", value)
            if name == "clip-path" and value:
                self.references += re.findall(r"url\(#(.*?)\)", value)
        if tag in ("table", "tr"):
            self.in_results = ("id", "results") in attrs if tag == "table" else self.in_results
            if tag == "tr" and self.in_results:
                self.rows.append([])
        if tag == "td" and self.in_results:
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open and self.in_results:
            self.rows[-1][-1] += data


def test_every_number_of_the_table_is_the_records(tmp_path: Path) -> None:
    records = comparison(tmp_path)
    page = Page(write_report(records, tmp_path / "out").read_text())
    rows = comparison_table(records)
    assert len(page.rows) == len(rows) == 16
    for cells, row in zip(page.rows, rows, strict=True):
        others = [str(row.measured(measure)) for measure in ("linear_probe", "knn", "few_labels")]
        assert cells[:6] == [str(row.readout), str(row.paper), *others, str(len(row.records))]


def test_the_page_stands_alone(tmp_path: Path) -> None:
    text = page_of(comparison(tmp_path))
    page = Page(text)
    assert page.resources == ["data:,"]
    assert len(page.identifiers) == len(set(page.identifiers))
    assert page.references
    assert set(page.references) <= set(page.identifiers)
    for outside in ("@import", "src=", "url(http", "/somewhere/on/one/machine"):
        assert outside not in text
    # The colours of a plot are the page's, so that it can be read in light and dark.
    assert "#0a0b" not in text
    assert text.count("<svg") == 4 * (1 + 3 + 1)
    for colour in ("var(--a-ssl)", "var(--h-ssl)", "var(--ink)", "prefers-color-scheme: dark", "@media print"):
        assert colour in text


def test_the_same_records_give_the_same_page(tmp_path: Path) -> None:
    records = [record(tmp_path, configuration(seed=seed)) for seed in range(2)]
    assert page_of(records) == page_of(records)
    assert page_of(records) != page_of(records[:-1])


def test_plots_name_the_numbers_they_draw(tmp_path: Path) -> None:
    records = [
        record(tmp_path, configuration("rotation", mode, seed), accuracy=accuracy)
        for mode, accuracies in (("a-ssl", (90.0, 91.0, 95.0)), ("h-ssl", (91.0, 91.0, 91.0)))
        for seed, accuracy in enumerate(accuracies)
    ]
    text = page_of(records)
    assert "Test accuracy: A-SSL 92.0 ± 2.6; H-SSL 91.0 ± 0.0" in text
    told = stats.ttest_rel([91.0, 91.0, 91.0], [90.0, 91.0, 95.0]).confidence_interval(0.95)
    shown = f"H-SSL − A-SSL: −1.0 (−{-told.low:.1f} to +{told.high:.1f}) points (95 %, paired by seed)"
    assert shown in re.sub("<[^>]*>", "", text)


def test_runs_without_labels_have_a_report(tmp_path: Path) -> None:
    records = [
        record(tmp_path, configuration(mode=mode, data__name="folder"), labels=False) for mode in ("a-ssl", "h-ssl")
    ]
    text = page_of(records)
    page = Page(text)
    assert [cells[:4] for cells in page.rows] == [["–"] * 3 + ["1"]] * 2
    assert "no labels" in text
    assert ">Accuracy</h2>" not in text
    assert "contrastive loss" in text


def test_a_run_with_next_to_nothing_has_a_report(tmp_path: Path) -> None:
    """No metrics, no equivariance, no time: an early interruption."""
    made = record(tmp_path, configuration(), labels=False)
    bare = made.evaluation.model_copy(update={"equivariance": None, "complete": False, "epoch": 0, "data": {}})
    text = page_of(
        [made.model_copy(update={"evaluation": bare, "metrics": (), "wall_seconds": None, "environment": {}})]
    )
    Page(text)
    assert "interrupted at epoch 0 of 12" in text
    for absent in (">Cost</h2>", ">Equivariance before and after training</h2>", ">Learning curves</h2>"):
        assert absent not in text


def test_names_from_data_are_escaped(tmp_path: Path) -> None:
    text = page_of([record(tmp_path, configuration(data__name="hub:<script>/x&y", recipe="<i>"))])
    Page(text)
    assert "<script>/x" not in text
    assert "<i>" not in text


def test_later_sessions_of_a_run_are_no_line_of_the_report(tmp_path: Path) -> None:
    made = record(tmp_path, configuration())
    resumed = made.model_copy(update={"environment": {**made.environment, "sessions": [{"device": "a later machine"}]}})
    assert "a later machine" not in page_of([resumed])
    assert made.device in page_of([resumed])


def results_of(records: list[RunRecord]) -> str:
    return to_markdown(results(comparison_table(records)))


def test_a_measure_that_no_run_has_has_no_column(tmp_path: Path) -> None:
    made = record(tmp_path, configuration())
    old = made.model_copy(update={"evaluation": made.evaluation.model_copy(update={"few_labels": None})})
    assert "| kNN | 10-shot | Runs |" in results_of([made])
    assert "| kNN | Runs |" in results_of([old])
    assert "| Paper |" in results_of([made])
    assert "| Paper |" not in results_of([record(tmp_path, configuration(data__name="digits"))])


def test_what_sets_rows_apart_is_noted(tmp_path: Path) -> None:
    text = results_of([record(tmp_path, configuration(seed=seed, trainer__epochs=6 + 6 * seed)) for seed in range(2)])
    assert "| trainer.epochs 12 |" in text
    assert "Note" in text


def test_all_three_renderings_hold_the_same_numbers(tmp_path: Path) -> None:
    rows = comparison_table(comparison(tmp_path))
    screen = Console(file=io.StringIO(), width=200, record=True)
    screen.print(terminal(results(rows)))
    markdown, shown = to_markdown(results(rows)), page(Document("Title", "lead", (results(rows),)))
    written = screen.export_text()
    assert len(rows) == 16
    for row in rows:
        for summary in (*map(row.measured, MEASURES), row.paper):
            assert str(summary) in written
            assert str(summary) in markdown
            assert str(summary) in shown
    assert "99.9" not in written + markdown + shown


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_terminals_table_is_whole(tmp_path: Path, width: int) -> None:
    rows = comparison_table(comparison(tmp_path))
    screen = Console(file=io.StringIO(), width=width, record=True)
    screen.print(terminal(results(rows)))
    text = screen.export_text()
    assert "…" not in text
    for cell in {row.cell for row in rows}:
        assert str(cell) in text
    for row in rows:
        wanted = (row.mode_name, *map(str, map(row.measured, MEASURES)))
        assert any(all(part in line for part in wanted) for line in text.splitlines())
