"""Sections of a report as HTML text."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from hssl.analysis.summaries import MODES
from hssl.report.blocks import Line, Number, Section, Table
from hssl.report.page import figure, legend, prose

# Characters above which a heading or a cell of words may take several lines.
_LONG_HEADING = 12
_LONG_WORDS = 16
_LONG_NAME = _LONG_LINE = 26
# Columns below which a table is not as wide as the page, and above which it is set smaller.
_FEW, _MANY = 5, 8
_MODES = {name: mode for mode, name in MODES.items()}


def to_html(section: Section, level: int = 2) -> str:
    """The section under a heading of this level, and its parts one level below."""
    name = f' id="{_name(section)}"' if level == 2 else ""
    parts = [f"<h{level}{name}>{prose(section.title)}</h{level}>"]
    said = [f"<p>{prose(text)}</p>" for text in section.text]
    if section.points:
        said.append("<ul>" + "".join(f"<li>{prose(text)}</li>" for text in section.points) + "</ul>")
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
    head = "".join(_heading(table, number) for number in range(len(table.headings)))
    body = "".join(f"<tr>{_line(table, line)}</tr>" for line in table.lines)
    columns = len(table.headings)
    caption = f'<p class="caption">{prose(table.caption)}</p>' if table.caption else ""
    whole = (
        f'<div class="scroll"><table{_classes(results=True, sortable=True, few=columns < _FEW, dense=columns > _MANY)} '
        f'id="{html.escape(table.name)}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{caption}'
    )
    return f"<details><summary>{html.escape(table.folded)}</summary>{whole}</details>" if table.folded else whole


def _name(section: Section) -> str:
    return "section-" + re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")


def _heading(table: Table, number: int) -> str:
    text = table.headings[number]
    words = all(isinstance(line[number], str) for line in table.lines)
    hidden = 0 < number < table.names
    return f'<th scope="col"{_classes(word=words, wide=hidden, long=len(text) > _LONG_HEADING)}>{_text(text)}</th>'


def _line(table: Table, line: Line) -> str:
    """The first cell names the line; others that name it too stand below it where the screen is too narrow for them."""
    others = ", ".join(_plain(cell) for cell in line[1 : table.names])
    narrow = f'<span class="below narrow">{prose(others)}</span>' if others else ""
    value = f' data-value="{html.escape(_plain(line[0]))}"' if others else ""
    cells = [_cell(cell, hidden=number < table.names) for number, cell in enumerate(line[1:], 1)]
    long = _classes(long=len(_plain(line[0])) > _LONG_NAME)
    return f'<th scope="row"{value}{long}>{_name_of(line[0])}{narrow}</th>' + "".join(cells)


def _name_of(cell: str | Number) -> str:
    """'MNIST · scale · SESN', its first part on a line of its own where the screen is narrow."""
    if not isinstance(cell, str) or " · " not in cell:
        return _text(cell)
    first, rest = cell.split(" · ", 1)
    return f'{prose(first)}<span class="wide"> · </span><span class="rest">{prose(rest)}</span>'


def _cell(cell: str | Number, hidden: bool) -> str:
    if isinstance(cell, str):
        return f"<td{_classes(word=True, wide=hidden, long=len(cell) > _LONG_WORDS)}>{_text(cell)}</td>"
    value = "" if cell.value is None else repr(cell.value)
    run = "" if cell.run is None else f' data-cell="{html.escape(cell.run)}" data-measure="{cell.measure}"'
    return f'<td data-value="{value}"{run}{_classes(wide=hidden)}>{_text(cell)}</td>'


def _text(cell: str | Number) -> str:
    if isinstance(cell, str):
        return f'<span class="swatch {_MODES[cell]}"></span>{cell}' if cell in _MODES else prose(cell)
    first = f"<b>{html.escape(cell.text)}</b>" if cell.below and cell.run else html.escape(cell.text)
    detail = f' <span class="std">{html.escape(cell.detail)}</span>' if cell.detail else ""
    below = "".join(
        f"<span{_classes(below=True, long=len(text) > _LONG_LINE)}>{html.escape(text)}</span>" for text in cell.below
    )
    return first + detail + below


def _plain(cell: str | Number) -> str:
    return cell if isinstance(cell, str) else cell.text


def _classes(**there: bool) -> str:
    names = " ".join(name for name, is_there in there.items() if is_there)
    return f' class="{names}"' if names else ""
