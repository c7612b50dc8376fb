"""Sections for the terminal, where 80 columns are enough."""

from __future__ import annotations

from collections.abc import Iterable

from hssl.extras import extra
from hssl.report.document import Number, Section, Table, plain

with extra("terminal"):
    from rich.box import SIMPLE_HEAD
    from rich.console import Group, RenderableType
    from rich.table import Table as RichTable
    from rich.text import Text


def terminal(section: Section) -> RenderableType:
    """All that a section holds, but for its heading and plots."""
    return Group(*_parts(section))


def _parts(section: Section) -> Iterable[RenderableType]:
    for table in section.tables:
        yield from _tables(table)
        yield Text(table.caption)
    yield from (Text(text, style="bold" if section.note else "") for text in section.text)
    yield from map(Text, section.points)
    for part in section.parts:
        yield from _parts(part)


def _tables(table: Table) -> Iterable[RenderableType]:
    """A table a group, its columns under those of the one before."""
    columns = [table.column(number) for number in range(len(table.heads))]
    for name, lines in table.groups():
        drawn = RichTable(title=name or None, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1))
        for heading, column in zip(table.heads, columns, strict=True):
            numbers = any(isinstance(cell, Number) for cell in column)
            # Rarely a number is longer: it widens the table of its group alone.
            width = max(min(10, max(len(plain(cell)) for cell in column)), len(heading) * numbers)
            drawn.add_column(heading, justify="right" if numbers else "left", min_width=width, no_wrap=numbers)
        for line in lines:
            drawn.add_row(
                *(Text(plain(cell), "bold" if isinstance(cell, Number) and cell.strong else "") for cell in line)
            )
        yield drawn
