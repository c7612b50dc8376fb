"""The report of a comparison of a few recipes, from its records alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hssl.analysis.differences import difference, interval, signed
from hssl.analysis.limits import WHAT_WAS_COMPARED, budget_statement, in_paper
from hssl.analysis.summaries import (
    MEASURES,
    NONE,
    Row,
    Summary,
    common_fields,
    comparison_table,
    differing_fields,
    provenance,
)
from hssl.files import write_atomically
from hssl.paper import numbers as paper
from hssl.report.document import Document, Line, Number, Plot, Section, Table
from hssl.report.html import page
from hssl.report.plots import accuracy_bars
from hssl.report.sections.costs import costs
from hssl.report.sections.curves import curves
from hssl.report.sections.equivariance import equivariance
from hssl.report.sections.gains import gains, gains_sentence
from hssl.runs.record import RunRecord

HOW_MEASURED = (
    "Test accuracy in percent of the last epoch, mean ± sample standard deviation over the runs "
    f"({NONE} after ±: a single run). Readout is the measure of the paper and trains a network of its own; linear "
    "probe (logistic regression), kNN and 10-shot (the linear probe from ten labels a class), as far as they are "
    "here, read the same frozen features, standardised, and are not comparable with the paper's column."
)


def write_report(records: Sequence[RunRecord], out: Path) -> Path:
    """Writes `report.html` into the folder `out`, in one step: a page with no resource outside of itself.

    Returns:
        The path of the page.

    Raises:
        DataError: there is no record, or two are of the same run.
    """
    path = out / "report.html"
    write_atomically(path, page(comparison(records)))
    return path


def comparison(records: Sequence[RunRecord]) -> Document:
    """The report of these runs.

    Raises:
        DataError: there is no record, or two are of the same run.
    """
    rows = comparison_table(records)
    trained = [row.trained for row in rows]
    cells = {str(row.cell): [other for other in rows if other.cell == row.cell] for row in rows}
    sections = (
        in_short(rows),
        results(rows),
        gains(trained),
        _accuracy(cells),
        curves(cells),
        equivariance(trained, cells),
        costs({f"{row.cell}, {row.trained.training}": (row.records, _gpu_hours(row)) for row in rows}),
        _configuration(rows),
        _environment(records),
    )
    names = dict.fromkeys(row.cell.dataset_name for row in rows)
    return Document(
        f"A-SSL and H-SSL compared on {', '.join(names)}",
        WHAT_WAS_COMPARED,
        tuple(section for section in sections if section is not None),
    )


def in_short(rows: Sequence[Row]) -> Section:
    """What was gained, and what this budget shows and what it does not."""
    records = [record for row in rows for record in row.records]
    gained = gains_sentence(row.trained for row in rows)
    return Section("In short", (gained,) if gained else (), tuple(budget_statement(records)), note=True)


def results(rows: Sequence[Row]) -> Section:
    """All accuracies; a column that no run has anything for is left out, but for those of the first three measures."""
    columns: dict[str, list[Number | str]] = {"Readout": [_number(row.readout, strong=True) for row in rows]}
    if any(row.paper for row in rows):
        columns["Paper"] = [_number(row.paper) for row in rows]
    for measure, name in MEASURES.items():
        found = [row.measured(measure) for row in rows]
        if measure != "readout" and (any(found) or measure != "few_labels"):
            columns[name] = [_number(summary) for summary in found]
    columns["Runs"] = [Number(str(len(row.records)), len(row.records)) for row in rows]
    if any(row.note for row in rows):
        columns["Note"] = [row.note for row in rows]
    lines = tuple((str(row.cell), row.mode_name, *cells) for row, *cells in zip(rows, *columns.values(), strict=True))
    made = provenance([record for row in rows for record in row.records])
    return Section(
        "Results",
        tables=(Table("results", ("Row", "Training", *columns), lines, f"{HOW_MEASURED} {made}", grouped=True),),
    )


def _number(summary: Summary | None, strong: bool = False) -> Number:
    return Number(NONE) if summary is None else Number(str(summary), summary.mean, strong=strong)


def _accuracy(cells: Mapping[str, Sequence[Row]]) -> Section | None:
    drawn = {name: accuracy_bars(rows, f"accuracy{number}") for number, (name, rows) in enumerate(cells.items())}
    plots = tuple(Plot(name, svg, _agreement(cells[name])) for name, svg in drawn.items() if svg)
    if not plots:
        return None
    printed = any(row.paper for rows in cells.values() for row in rows)
    diamond = " · ◇ the paper, at its full budget" if printed else ""
    return Section("Accuracy", (f"bar: mean · line: sample standard deviation · mark: one run{diamond}",), plots=plots)


def _agreement(rows: Sequence[Row]) -> str:
    """H-SSL minus A-SSL with its 95 % interval, paired by seed, where both have one row."""
    pair = [[row.readout for row in rows if row.mode == mode] for mode in ("h-ssl", "a-ssl")]
    if any(len(found) != 1 for found in pair):
        return ""
    (h,), (a,) = pair
    if (told := difference(h, a)) is not None:
        return f"H-SSL − A-SSL: {interval(told)} points (95 %, paired by seed)"
    return "" if h is None or a is None else signed(f"H-SSL − A-SSL: {h.mean - a.mean:+z.1f} points")


def _gpu_hours(row: Row) -> int | None:
    """Of a run in the paper."""
    return paper.GPU_HOURS[cast(paper.Dataset, row.cell.dataset)] if in_paper(row.cell.dataset) else None


def _configuration(rows: Sequence[Row]) -> Section:
    firsts = [row.records[0] for row in rows]
    differing = differing_fields(firsts)
    same = [(name, _shown(value)) for name, value in common_fields(firsts).items()]
    common = Table("common", ("Field", "Value"), tuple(same), folded="Fields that are the same in all rows")
    if not differing:
        return Section("Configuration", ("The rows differ in their mode and in nothing else.",), tables=(common,))
    lines: dict[tuple[str, ...], None] = {}
    told = [tuple(_shown(values[number]) for values in differing.values()) for number in range(len(rows))]
    for row, texts in zip(rows, told, strict=True):
        alike = len({of for other, of in zip(rows, told, strict=True) if other.cell == row.cell}) == 1
        lines[(str(row.cell) if alike else f"{row.cell}, {row.mode_name}", *texts)] = None
    return Section(
        "Configuration",
        ("Apart from the mode, these fields differ between rows; all others are the same.",),
        tables=(Table("differing", ("Row", *differing), tuple(lines)), common),
    )


def _environment(records: Sequence[RunRecord]) -> Section:
    names = dict.fromkeys(name for record in records for name in record.environment)
    names.pop("sessions", None)
    values = {name: _every(record.environment.get(name) for record in records) for name in names}
    if dates := sorted({str(record.environment["date"]) for record in records if record.environment.get("date")}):
        values["date"] = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    protocols = dict.fromkeys(
        f"{name}: {measure.protocol}"
        for record in records
        for field, name in MEASURES.items()
        if (measure := getattr(record.evaluation, field)) is not None
    )
    runs: list[Line] = [(record.recipe, Number(str(record.seed), record.seed), record.identity) for record in records]
    return Section(
        "Environment and protocol",
        points=tuple(protocols),
        tables=(
            Table("environment", ("", "Value"), tuple(values.items())),
            Table("runs", ("Recipe", "Seed", "Identity"), tuple(runs), folded=f"Every run ({len(records)})"),
        ),
    )


def _shown(value: object) -> str:
    return NONE if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _every(values: Iterable[Any]) -> str:
    return ", ".join(sorted({_shown(value) for value in values}))
