"""Render committed records: `python -m tools.render FOLDER README REPRODUCTION PICTURE`; `make readme`.

FOLDER may also hold information.json, of `tools.information`; its picture is drawn beside PICTURE.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hssl.analysis.entries import Entry, entries
from hssl.analysis.grid_records import grid_records
from hssl.analysis.limits import chance_statements
from hssl.analysis.summaries import comparison_table, listed, provenance
from hssl.errors import DataError, HsslError
from hssl.files import write_atomically
from hssl.report import comparison
from hssl.report.markdown import markdown_table
from hssl.report.sections.claims import gained, summary
from hssl.report.sections.effects import effects
from hssl.report.sections.paper_cost import paper_cost
from hssl.runs.record import RunRecord
from tools import information
from tools.results_picture import described, draw, results

PICTURE = "docs/results.png"
"""Where the README looks for the picture of the results."""
INFORMATION = "information.png"
"""Where docs/reproduction.md looks for the picture of what fibers share."""


def records_of(folder: Path) -> dict[str, RunRecord]:
    """The records of a grid's folder by the name of their run.

    Raises:
        DataError: there is none, or one of them does not hold.
    """
    records, wrong = grid_records(folder)
    if wrong:
        raise DataError(f"not every record in {folder / 'records'} holds", got=next(iter(wrong.values())))
    return records


def readme_parts(records: Mapping[str, RunRecord]) -> dict[str, str]:
    """By marker: the picture of the results, the comparison of the runs of tables 1 and 2, and what they show."""
    found = entries(records)
    shown = results(found)
    return {
        "picture": "" if shown is None else f"![{described(shown)}]({PICTURE})",
        "results": _results(_of_tables(found)),
        "in-short": _in_short(found),
    }


def reproduction_parts(records: Mapping[str, RunRecord]) -> dict[str, str]:
    """By marker: what there is in short, what decisions do to accuracy, and what the paper costs."""
    found = entries(records)
    made = provenance(list(records.values()))
    studied = effects(found)
    return {
        "in-short": _in_short(found),
        "effects": f"{markdown_table(studied)}\n\n{made}" if studied.lines else "No study has records yet.",
        "cost": markdown_table(paper_cost()),
    }


def information_part(runs: Sequence[Mapping[str, Any]]) -> str:
    """What fibers tell of each other: the picture, a line a row, and how it was made."""
    if not runs:
        return "Not measured yet."
    lines = "\n".join(f"- {line}" for line in information.sentences(runs))
    seeds = sorted({run["seed"] for run in runs})
    of = runs[0]["environment"]
    made = f"Seeds {listed(list(map(str, seeds)))}; {of['device']}, torch {of['torch']}, {str(of['date'])[:10]}."
    return f"![InfoNCE bound between two fibers, by their distance]({INFORMATION})\n\n{lines}\n\n{made}"


def update(path: Path, parts: Mapping[str, str]) -> None:
    """Puts each part between its `<!-- NAME:begin -->` and `<!-- NAME:end -->` in a text file.

    Raises:
        DataError: the file is missing, or has not exactly one pair of these markers.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be read", got=error.strerror) from None
    for name, part in parts.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
            raise DataError(
                f"{path} has no place for '{name}'",
                got=f"{text.count(begin)} x '{begin}', {text.count(end)} x '{end}'",
                expected="each of them once, in this order",
            )
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.split(end)[1]}"
    write_atomically(path, text)


def _in_short(found: Sequence[Entry]) -> str:
    section = summary(found, found[0].records[0].budget)
    assert section is not None
    points = (gained(found), *section.points, *chance_statements(_of_tables(found)))
    return "\n".join(f"- {point}" for point in points if point)


def _results(records: Sequence[RunRecord]) -> str:
    (table,) = comparison.results(comparison_table(records)).tables
    return f"{markdown_table(table)}\n\n{table.caption}"


def _of_tables(found: Sequence[Entry]) -> list[RunRecord]:
    return [record for entry in found if entry.cell.artefact.startswith("table") for record in entry.records]


def main(arguments: list[str]) -> int:
    """FOLDER README REPRODUCTION PICTURE: put what FOLDER's records say between both files' markers, and draw it.

    Returns the exit code.
    """
    if len(arguments) != 4:
        print("usage: python -m tools.render FOLDER README REPRODUCTION PICTURE", file=sys.stderr)
        return 2
    folder, readme, reproduction, picture = map(Path, arguments)
    try:
        records = records_of(folder)
        update(readme, readme_parts(records))
        runs = information.measured(folder / "information.json")
        update(reproduction, {**reproduction_parts(records), "information": information_part(runs)})
        draw(entries(records), picture)
        if runs:
            information.draw(runs, picture.parent / INFORMATION)
    except HsslError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
