"""Sections of a report as HTML text."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from hssl.experiments.blocks import Number, Section, Table
from hssl.experiments.page import figure, legend


def to_html(section: Section, level: int = 2) -> str:
    """The section under a heading of this level, and its parts one level below."""
    name = f' id="{_name(section)}"' if level == 2 else ""
    parts = [f"<h{level}{name}>{html.escape(section.title)}</h{level}>"]
    said = [f"<p>{_prose(text)}</p>" for text in section.text]
    if section.points:
        said.append("<ul>" + "".join(f"<li>{_prose(text)}</li>" for text in section.points) + "</ul>")
    parts += [f'<div class="note">{"".join(said)}</div>'] if section.note else said
    if section.plots:
        parts.append(legend(section.modes) if section.modes else "")
        figures = "".join(figure(plot.heading, plot.svg, plot.caption) for plot in section.plots)
        parts.append(f'<div class="plots">{figures}</div>')
    parts += [table_html(table) for table in section.tables if table.only != "markdown"]
    parts += [to_html(part, level + 1) for part in section.parts]
    return "\n".join(part for part in parts if part)


def contents(sections: Sequence[Section]) -> str:
    """Links to sections, as `to_html` names them."""
    links = "".join(f'<a href="#{_name(section)}">{html.escape(section.title)}</a>' for section in sections)
    return f'<nav class="contents" aria-label="Contents">{links}</nav>'


def table_html(table: Table) -> str:
    """A table to be sorted by whatever heading is pressed: by number where a cell has one, else by its text."""
    head = "".join(
        f'<th scope="col"{_word(_column(table, number))}>{html.escape(text)}</th>'
        for number, text in enumerate(table.headings)
    )
    body = "".join(
        f'<tr><th scope="row">{_text(line[0])}</th>' + "".join(_cell(cell) for cell in line[1:]) + "</tr>"
        for line in table.lines
    )
    caption = f'<p class="caption">{_prose(table.caption)}</p>' if table.caption else ""
    whole = (
        f'<div class="scroll"><table class="results sortable" id="{html.escape(table.name)}"><thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>{caption}"
    )
    return f"<details><summary>{html.escape(table.folded)}</summary>{whole}</details>" if table.folded else whole


def _name(section: Section) -> str:
    return "section-" + re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")


def _prose(text: str) -> str:
    """Escaped, with words that no line may break."""
    return re.sub(r"([AH]-SSL|[Pp]-values?|[\d.]+ %)", r'<span class="together">\1</span>', html.escape(text))


def _column(table: Table, number: int) -> Sequence[str | Number]:
    return [line[number] for line in table.lines]


def _word(cells: Sequence[str | Number]) -> str:
    return "" if any(isinstance(cell, Number) for cell in cells) else ' class="word"'


def _cell(cell: str | Number) -> str:
    if isinstance(cell, str):
        return f'<td class="word">{html.escape(cell)}</td>'
    value = "" if cell.value is None else repr(cell.value)
    run = "" if cell.run is None else f' data-cell="{html.escape(cell.run)}" data-measure="{cell.measure}"'
    return f'<td data-value="{value}"{run}>{_text(cell)}</td>'


def _text(cell: str | Number) -> str:
    if isinstance(cell, str):
        return html.escape(cell)
    first = f"<b>{html.escape(cell.text)}</b>" if cell.below and cell.run else html.escape(cell.text)
    detail = f' <span class="std">{html.escape(cell.detail)}</span>' if cell.detail else ""
    below = "".join(f'<span class="below">{html.escape(text)}</span>' for text in cell.below)
    return first + detail + below
