"""The report of a reproduction, from its records alone: the paper's tables and figures with ours beside them."""

from __future__ import annotations

import html
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from hssl.analysis.grid_records import grid_records
from hssl.errors import DataError
from hssl.files import claimed, remove_leftovers, write_atomically
from hssl.report.contents import Report, report_of
from hssl.report.html import contents, to_html
from hssl.report.markdown import markdown
from hssl.report.page import document, prose
from hssl.report.script import SORT
from hssl.runs.run import GridFolder


def write_reproduction(out: Path) -> Path:
    """Write `report.html` and `report.md` from the records and failures in a folder. Returns the page's path.

    Raises:
        DataError: there is no record that holds. One that does not, beside others, is shown as failed.
    """
    folder = GridFolder(out)
    # Several grids may work on the folder. Each writes what it finds there once the others have written: the last one
    # finds all of it.
    with claimed(out) if out.is_dir() else nullcontext():
        records, failures = grid_records(out)
        if not records:
            raise DataError(f"no record in {out / 'records'} holds", got=next(iter(failures.values())))
        for file in sorted((out / "failures").glob("*.txt")):
            if file.stem not in records:
                failures[file.stem] = folder.failure(file.stem) or failures.get(file.stem, "")
        made = report_of(records, failures)
        for name, content in (("report.md", markdown(made)), ("report.html", to_page(made))):
            remove_leftovers(out, name)
            write_atomically(out / name, content)
    return out / "report.html"


def to_page(report: Report) -> str:
    """The page as text: the same records give the same page."""
    parts = [f"<h1>{html.escape(report.title)}</h1>", f'<p class="lead">{prose(report.lead)}</p>']
    parts += [contents(report.sections), *(to_html(section) for section in report.sections)]
    parts.append(_failed(report.failures))
    return document(report.title, "\n".join(part for part in parts if part), SORT)


def _failed(failures: Mapping[str, str]) -> str:
    if not failures:
        return ""
    lines = "".join(
        f"<details><summary>{html.escape(name)}</summary><pre>{html.escape(text)}</pre></details>"
        for name, text in failures.items()
    )
    return f"<h2>Failed</h2>{lines}"
