"""What a report is made of - sections with text, tables and figures - apart from how it is rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from hssl.analysis.differences import Difference, interval, p_text
from hssl.analysis.summaries import MODES, NONE, Summary


@dataclass(frozen=True)
class Number:
    """A cell of a table that is sorted by a number.

    Attributes:
        text: what is read.
        value: what is sorted by; None sorts as the smallest.
        detail: after the text, smaller.
        below: lines under it, smaller.
        run: the name of the runs whose accuracy it is, where it is one.
        measure: which accuracy, one of `summaries.MEASURES`.
        strong: whether it is what the line is about.
    """

    text: str
    value: float | None = None
    detail: str = ""
    below: tuple[str, ...] = ()
    run: str | None = None
    measure: str = "readout"
    strong: bool = False


Line = tuple[str | Number, ...]


@dataclass(frozen=True)
class Table:
    """Lines under headings; the first cell of a line names it.

    Attributes:
        name: an identifier, of its own within a report.
        headings: as many as a line has cells.
        lines: words as text, numbers as `Number`.
        caption: how it is read.
        folded: on the page, what opens it; empty for a table that is open.
        only: the rendering that it is for; None for both.
        names: how many of the first cells name a line together; a narrow screen shows them as one.
        grouped: whether lines of the same first cell stand under it as under a heading; they follow one another.
    """

    name: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]
    caption: str = ""
    folded: str = ""
    only: Literal["page", "markdown"] | None = None
    names: int = 1
    grouped: bool = False

    def __post_init__(self) -> None:
        for line in self.lines:
            assert len(line) == len(self.headings), f"{self.name}: {line} has not {len(self.headings)} cells"

    @property
    def heads(self) -> tuple[str, ...]:
        """The headings of the columns within a group."""
        return self.headings[self.grouped :]

    def groups(self) -> Iterable[tuple[str, list[Line]]]:
        """Each group with its lines, without the cell that names it; all lines under '' where there are no groups."""
        for name, lines in groupby(self.lines, key=lambda line: plain(line[0]) if self.grouped else ""):
            yield name, [line[self.grouped :] for line in lines]

    def column(self, number: int) -> list[str | Number]:
        """The cells under one of `heads`."""
        return [line[number + self.grouped] for line in self.lines]


@dataclass(frozen=True)
class Plot:
    """An inline SVG under its heading; only pages have them."""

    heading: str
    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        title: its heading.
        text: paragraphs.
        points: a list under them.
        plots: figures side by side.
        modes: whose colours a legend over the figures explains.
        tables: in their order.
        parts: sections one level below.
        note: whether its text and points stand out.
        logs: long texts by name, folded.
    """

    title: str
    text: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    modes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    parts: tuple[Section, ...] = ()
    note: bool = False
    logs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Document:
    """All that is said, before it is rendered.

    Attributes:
        title: of the whole.
        lead: what it is about, for who has not read the paper.
        sections: in their order.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]


def plain(cell: str | Number) -> str:
    """The cell's first words alone."""
    return cell if isinstance(cell, str) else cell.text


def accuracy(
    summary: Summary | None, *, below: Iterable[str] = (), run: str | None = None, measure: str = "readout"
) -> Number:
    """Mean and sample standard deviation; sorted by the mean."""
    if summary is None:
        return Number(NONE, below=tuple(below))
    lines = tuple(below)
    return Number(str(summary), summary.mean, f"n {summary.count}", lines, run, measure, bool(lines and run))


def apart(told: Difference | None) -> Number:
    """A difference with its interval; sorted by the difference."""
    return Number(interval(told), None if told is None else told.mean)


def p_value(p: float | None) -> Number:
    return Number(p_text(p), p)


def modes_of(modes: Iterable[str]) -> tuple[str, ...]:
    """Each mode once, in the order of the paper's columns; those that it does not have come last."""
    there = set(modes)
    return tuple(mode for mode in (*MODES, *sorted(there - MODES.keys())) if mode in there)
