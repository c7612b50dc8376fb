"""What a report is made of - sections with text, tables and figures - told apart from how it is rendered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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
        measure: which accuracy, one of `tables.MEASURES`.
    """

    text: str
    value: float | None = None
    detail: str = ""
    below: tuple[str, ...] = ()
    run: str | None = None
    measure: str = "readout"


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
    """

    name: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]
    caption: str = ""
    folded: str = ""
    only: Literal["page", "markdown"] | None = None
    names: int = 1

    def __post_init__(self) -> None:
        for line in self.lines:
            assert len(line) == len(self.headings), f"{self.name}: {line} has not {len(self.headings)} cells"


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
    """

    title: str
    text: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    plots: tuple[Plot, ...] = ()
    modes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    parts: tuple[Section, ...] = ()
    note: bool = False


def accuracy(
    summary: Summary | None, *, below: Iterable[str] = (), run: str | None = None, measure: str = "readout"
) -> Number:
    """Mean and sample standard deviation; sorted by the mean."""
    if summary is None:
        return Number(NONE, below=tuple(below))
    return Number(str(summary), summary.mean, f"n {summary.count}", tuple(below), run, measure)


def apart(told: Difference | None) -> Number:
    """A difference with its interval; sorted by the difference."""
    return Number(interval(told), None if told is None else told.mean)


def p_value(p: float | None) -> Number:
    return Number(p_text(p), p)


def modes_of(modes: Iterable[str]) -> tuple[str, ...]:
    """Each mode once, in the order of the paper's columns; those that it does not have come last."""
    there = set(modes)
    return tuple(mode for mode in (*MODES, *sorted(there - MODES.keys())) if mode in there)
