"""The report: one page that holds everything, and the table in the README, both made from records alone."""

import html
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from hssl.analysis.differences import difference, interval, signed
from hssl.analysis.limits import WHAT_WAS_COMPARED, budget_statement, in_paper
from hssl.analysis.summaries import (
    HOW_MEASURED,
    MEASURES,
    MODES,
    NONE,
    Cell,
    Row,
    Summary,
    common_fields,
    comparison_table,
    differing_fields,
    provenance,
    summarise,
    to_html,
)
from hssl.files import write_atomically
from hssl.paper import numbers as paper
from hssl.report.blocks import modes_of
from hssl.report.html import to_html as section_html
from hssl.report.page import document, figure, legend, prose, table
from hssl.report.plots import accuracy_bars, equivariance_errors
from hssl.report.sections.curves import row_curves
from hssl.report.sections.gains import gains, gains_sentence, trained
from hssl.runs.record import RunRecord


def write_report(records: Sequence[RunRecord], out: Path) -> Path:
    """Writes `report.html` into the folder `out`, in one step: a page with no resource outside of itself.

    Returns:
        The path of the page.

    Raises:
        DataError: there is no record, or two are of the same run.
    """
    path = out / "report.html"
    write_atomically(path, report_page(records))
    return path


def report_page(records: Sequence[RunRecord]) -> str:
    """The page as text: the same records give the same page."""
    rows = comparison_table(records)
    cells = {cell: [row for row in rows if row.cell == cell] for cell in dict.fromkeys(row.cell for row in rows)}
    sections = [
        f"<h1>{html.escape(_title(list(cells)))}</h1>",
        f'<p class="lead">{prose(gained)}</p>' if (gained := gains_sentence(trained(rows))) else "",
        f"<p>{prose(WHAT_WAS_COMPARED)}</p>",
        _results(rows),
        _gains(rows),
        _accuracy_plots(cells),
        _learning_curves(cells),
        _equivariance(cells),
        _cost(cells),
        _configuration(rows),
        _environment(records),
    ]
    body = "\n".join(section for section in sections if section)
    return document(_title(list(cells)), body)


def _title(cells: Sequence[Cell]) -> str:
    names = list(dict.fromkeys(cell.dataset_name for cell in cells))
    return f"A-SSL and H-SSL compared on {', '.join(names)}"


def _results(rows: Sequence[Row]) -> str:
    records = [record for row in rows for record in row.records]
    statements = "".join(f"<li>{prose(text)}</li>" for text in budget_statement(records))
    return (
        f'<h2>Results</h2><div class="scroll">{to_html(rows)}</div>'
        f'<p class="caption">{prose(HOW_MEASURED)}</p><p class="caption">{prose(provenance(records))}</p>'
        f'<div class="note"><h3>What this budget shows, and what it does not</h3><ul>{statements}</ul></div>'
    )


def _gains(rows: Sequence[Row]) -> str:
    section = gains(trained(rows))
    return "" if section is None else section_html(section)


def _accuracy_plots(cells: dict[Cell, list[Row]]) -> str:
    figures = [
        figure(str(cell), accuracy_bars(rows, f"accuracy{number}"), _agreement(rows))
        for number, (cell, rows) in enumerate(cells.items())
    ]
    if not any(figures):
        return ""
    printed = any(row.paper for rows in cells.values() for row in rows)
    marks = "bar: mean · line: sample standard deviation · mark: one run" + (" · " if printed else "")
    diamond = '<span class="diamond">◇</span>the paper, at its full budget' if printed else ""
    return f'<h2>Accuracy</h2><p class="caption">{marks}{diamond}</p><div class="plots">{"".join(figures)}</div>'


def _agreement(rows: Sequence[Row]) -> str:
    """H-SSL minus A-SSL with its 95 % interval, paired by seed, where both have one row."""
    pair = [[row.readout for row in rows if row.mode == mode] for mode in ("h-ssl", "a-ssl")]
    if any(len(found) != 1 or found[0] is None for found in pair):
        return ""
    (h,), (a,) = pair
    if (told := difference(h, a)) is not None:
        return f"H-SSL − A-SSL: {interval(told)} points (95 %, paired by seed)"
    return "" if h is None or a is None else signed(f"H-SSL − A-SSL: {h.mean - a.mean:+z.1f} points")


def _learning_curves(cells: dict[Cell, list[Row]]) -> str:
    plots = [plot for number, (cell, rows) in enumerate(cells.items()) for plot in row_curves(rows, str(cell), number)]
    if not plots:
        return ""
    figures = "".join(figure(plot.heading, plot.svg, plot.caption) for plot in plots)
    modes = dict.fromkeys(row.mode for rows in cells.values() for row in rows)
    return f'<h2>Learning curves</h2>{legend(modes)}<div class="plots">{figures}</div>'


def _equivariance(cells: dict[Cell, list[Row]]) -> str:
    figures, lines = [], []
    for number, (cell, rows) in enumerate(cells.items()):
        figures.append(figure(str(cell), equivariance_errors(rows, f"equivariance{number}"), ""))
        for row in rows:
            measured = [record.evaluation.equivariance for record in row.records if record.evaluation.equivariance]
            if not measured:
                continue
            errors = [error for item in measured for error in item.errors.values() if error is not None]
            held = [item.held for item in measured]
            lines.append(
                [
                    f"{cell}, {row.mode_name}",
                    measured[0].group,
                    measured[0].exactness,
                    NONE if measured[0].bound is None else f"{measured[0].bound:.0e}",
                    f"{max(errors):.1e}" if errors else NONE,
                    NONE if None in held else "yes" if all(held) else "no",
                ]
            )
    if not lines:
        return ""
    headings = ("", "Group", "Exactness", "Bound", "Largest error", "Held")
    modes = dict.fromkeys(row.mode for rows in cells.values() for row in rows)
    return (
        "<h2>Equivariance</h2><p>How far the features of a transformed image are from the transformed features of the "
        "image, by group element, after training. H-SSL can replace A-SSL only as far as this error is small. "
        "An error of zero is drawn at the lower edge; a dashed line is the bound that an exact group must hold.</p>"
        f'{legend(modes)}<div class="plots">{"".join(figures)}</div>'
        f"<details><summary>As numbers</summary>{table(headings, lines)}</details>"
    )


def _cost(cells: dict[Cell, list[Row]]) -> str:
    hours = {
        cell.dataset_name: paper.GPU_HOURS[cast(paper.Dataset, cell.dataset)]
        for cell in cells
        if in_paper(cell.dataset)
    }
    theirs = "; ".join(f"{count} GPU-hours a run on {name}" for name, count in hours.items())
    seconds = _by_mode(cells, lambda row: row.wall_seconds)
    speed = _by_mode(cells, lambda row: summarise(_images_per_second(record) for record in row.records))
    if not seconds and not speed:
        return ""
    told = f'<p class="caption">The paper: {theirs}.</p>' if theirs else ""
    slower = f"<details><summary>Training images a second</summary>{speed}</details>" if speed else ""
    return f"<h2>Cost</h2><p>Wall seconds a run, training and evaluation together.</p>{seconds}{slower}{told}"


def _by_mode(cells: dict[Cell, list[Row]], measure: Callable[[Row], Summary | None]) -> str:
    """A table of a measure with a line a cell and a column a mode; empty where nothing was measured."""
    modes = modes_of(row.mode for rows in cells.values() for row in rows)
    lines, anything = [], False
    for cell, rows in cells.items():
        texts = []
        for mode in modes:
            found = [measured for row in rows if row.mode == mode and (measured := measure(row)) is not None]
            anything |= bool(found)
            texts.append(" / ".join(_whole(measured) for measured in found) or NONE)
        lines.append([str(cell), *texts])
    return table(("", *(MODES[mode] for mode in modes)), lines) if anything else ""


def _whole(measured: Summary) -> str:
    return f"{measured.mean:,.0f}" + ("" if measured.std is None else f" ± {measured.std:,.0f}")


def _images_per_second(record: RunRecord) -> float | None:
    """The median epoch: the first one also warms up."""
    rates = [
        float(entry["images_per_second"]) for entry in record.metrics if entry.get("images_per_second") is not None
    ]
    return statistics.median(rates) if rates else None


def _configuration(rows: Sequence[Row]) -> str:
    firsts = [row.records[0] for row in rows]
    differing = differing_fields(firsts)
    parts = ["<h2>Configuration</h2>"]
    if differing:
        parts.append("<p>Apart from the mode, these fields differ between rows; all others are the same.</p>")
        headings = ("", *differing)
        told = [tuple(_shown(values[number]) for values in differing.values()) for number in range(len(rows))]
        lines = []
        for cell in dict.fromkeys(row.cell for row in rows):
            of_cell = [(row, texts) for row, texts in zip(rows, told, strict=True) if row.cell == cell]
            if len({texts for _, texts in of_cell}) == 1:
                lines.append([str(cell), *of_cell[0][1]])
            else:
                lines += [[f"{cell}, {row.mode_name}", *texts] for row, texts in of_cell]
        parts.append(table(headings, lines))
    else:
        parts.append("<p>The rows differ in their mode and in nothing else.</p>")
    common = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(_shown(value))}</td></tr>'
        for name, value in common_fields(firsts).items()
    )
    parts.append(
        "<details><summary>Fields that are the same in all rows</summary>"
        f'<table class="fields">{common}</table></details>'
    )
    return "".join(parts)


def _environment(records: Sequence[RunRecord]) -> str:
    names = dict.fromkeys(name for record in records for name in record.environment)
    names.pop("sessions", None)
    values = {name: _every(record.environment.get(name) for record in records) for name in names}
    if dates := sorted({str(record.environment["date"]) for record in records if record.environment.get("date")}):
        values["date"] = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    lines = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
        for name, value in values.items()
    )
    protocols = dict.fromkeys(
        f"{name}: {measure.protocol}"
        for record in records
        for field, name in MEASURES.items()
        if (measure := getattr(record.evaluation, field)) is not None
    )
    told = "".join(f"<li>{prose(text)}</li>" for text in protocols)
    runs = "".join(
        f"<tr><td>{html.escape(r.recipe)}</td><td>{r.seed}</td><td><code>{html.escape(r.identity)}</code></td></tr>"
        for r in records
    )
    return (
        f'<h2>Environment and protocol</h2><table class="fields">{lines}</table>'
        + (f"<ul>{told}</ul>" if told else "")
        + f'<details><summary>Every run ({len(records)})</summary><div class="scroll"><table><thead><tr>'
        f"<th>Recipe</th><th>Seed</th><th>Identity</th></tr></thead><tbody>{runs}</tbody></table></div></details>"
    )


def _shown(value: object) -> str:
    return NONE if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _every(values: Iterable[Any]) -> str:
    return ", ".join(sorted({_shown(value) for value in values}))
