"""How the command line shows tables. Imports nothing heavy where the reader is a program."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hssl.extras import is_installed


@contextmanager
def progress(first: str) -> Iterator[Callable[[str], None]]:
    """Something that says on stderr what is being done: one changing line on a terminal, a line each elsewhere.

    Without rich a terminal reads what a program does; so with `table`.
    """
    if not (sys.stderr.isatty() and is_installed("terminal")):
        yield lambda doing: print(doing, file=sys.stderr, flush=True)
        return
    from rich.console import Console

    with Console(stderr=True).status(first) as status:
        yield status.update


def paragraph(text: str) -> None:
    """One line, broken between words where a terminal is too narrow for it."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    print(textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False) if width else text)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], droppable: Sequence[str] = ()) -> None:
    """A table that fits the terminal, or aligned plain text, one line a row, where the reader is a program.

    Too wide a table first loses its `droppable` columns, in that order, and then folds its cells.
    """
    widths = [max(len(row[index]) for row in (columns, *rows)) for index in range(len(columns))]
    if not (sys.stdout.isatty() and is_installed("terminal")):
        for row in (columns, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    shown = list(range(len(columns)))
    for name in droppable:
        if sum(widths[index] + 2 for index in shown) > console.width:
            shown.remove(columns.index(name))
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold underline")
    for index in shown:
        # The first column is what one copies: it is never folded.
        drawn.add_column(columns[index], no_wrap=index == 0, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(row[index]) for index in shown))
    console.print(drawn)
