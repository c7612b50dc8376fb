"""The report is one page that holds the records' numbers and needs nothing from outside."""

import re
from html.parser import HTMLParser
from pathlib import Path

from scipy import stats

from fakes.records import comparison, configuration, record
from hssl.analysis.summaries import comparison_table
from hssl.report.comparison import report_page, write_report

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
        self.feed(text)
        assert self.open == []

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
            if name == "data-mode":
                self.rows.append([])
        if tag == "td" and self.rows:
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open and self.rows and self.rows[-1]:
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
    text = report_page(comparison(tmp_path))
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
    assert report_page(records) == report_page(records)
    assert report_page(records) != report_page(records[:-1])


def test_plots_name_the_numbers_they_draw(tmp_path: Path) -> None:
    records = [
        record(tmp_path, configuration("rotation", mode, seed), accuracy=accuracy)
        for mode, accuracies in (("a-ssl", (90.0, 91.0, 95.0)), ("h-ssl", (91.0, 91.0, 91.0)))
        for seed, accuracy in enumerate(accuracies)
    ]
    text = report_page(records)
    assert "Test accuracy: A-SSL 92.0 ± 2.6; H-SSL 91.0 ± 0.0" in text
    told = stats.ttest_rel([91.0, 91.0, 91.0], [90.0, 91.0, 95.0]).confidence_interval(0.95)
    shown = f"H-SSL − A-SSL: −1.0 (−{-told.low:.1f} to +{told.high:.1f}) points (95 %, paired by seed)"
    assert shown in re.sub("<[^>]*>", "", text)


def test_runs_without_labels_have_a_report(tmp_path: Path) -> None:
    records = [
        record(tmp_path, configuration(mode=mode, data__name="folder"), labels=False) for mode in ("a-ssl", "h-ssl")
    ]
    text = report_page(records)
    page = Page(text)
    assert [cells[:4] for cells in page.rows] == [["–"] * 4] * 2
    assert "no labels" in text
    assert "<h2>Accuracy</h2>" not in text
    assert "contrastive loss" in text


def test_a_run_with_next_to_nothing_has_a_report(tmp_path: Path) -> None:
    """No metrics, no equivariance, no time: an early interruption."""
    made = record(tmp_path, configuration(), labels=False)
    bare = made.evaluation.model_copy(update={"equivariance": None, "complete": False, "epoch": 0, "data": {}})
    text = report_page(
        [made.model_copy(update={"evaluation": bare, "metrics": (), "wall_seconds": None, "environment": {}})]
    )
    Page(text)
    assert "interrupted at epoch 0 of 12" in text
    for absent in ("<h2>Cost</h2>", "<h2>Equivariance</h2>", "<h2>Learning curves</h2>"):
        assert absent not in text


def test_names_from_data_are_escaped(tmp_path: Path) -> None:
    text = report_page([record(tmp_path, configuration(data__name="hub:<script>/x&y", recipe="<b>"))])
    Page(text)
    assert "<script>" not in text
    assert "<b>" not in text


def test_later_sessions_of_a_run_are_no_line_of_the_report(tmp_path: Path) -> None:
    made = record(tmp_path, configuration())
    resumed = made.model_copy(update={"environment": {**made.environment, "sessions": [{"device": "a later machine"}]}})
    assert "a later machine" not in report_page([resumed])
    assert made.device in report_page([resumed])
