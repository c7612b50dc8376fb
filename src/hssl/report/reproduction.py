"""The report of a reproduction, from its records alone: the paper's tables and figures with ours beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from hssl.analysis.deviations import deviations
from hssl.analysis.entries import Entry, entries
from hssl.analysis.grid_records import grid_records
from hssl.analysis.limits import WHAT_WAS_COMPARED, protocol_statements, share_statement
from hssl.analysis.summaries import Row, comparison_table, provenance
from hssl.errors import DataError
from hssl.files import claimed, remove_leftovers, write_atomically
from hssl.paper import numbers as paper
from hssl.paper.grid import ANY_PAIRS
from hssl.report.document import Document, Section
from hssl.report.html import page
from hssl.report.markdown import markdown
from hssl.report.sections.claims import agreement, summary, theory
from hssl.report.sections.costs import costs
from hssl.report.sections.curves import curves
from hssl.report.sections.equivariance import equivariance
from hssl.report.sections.gains import gains
from hssl.report.sections.paper_tables import figure2, table
from hssl.report.sections.probes import probes
from hssl.report.sections.studies import studies
from hssl.runs.record import RunRecord
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
        made = reproduction(records, failures)
        for name, content in (("report.md", markdown(made)), ("report.html", page(made))):
            remove_leftovers(out, name)
            write_atomically(out / name, content)
    return out / "report.html"


def reproduction(records: Mapping[str, RunRecord], failures: Mapping[str, str]) -> Document:
    """The report of these runs.

    Args:
        records: by the name of their run.
        failures: errors of runs that failed, by name.

    Raises:
        DataError: as `entries`.
    """
    found = entries(records, failures)
    budget = next(iter(records.values())).budget if records else "no"
    drawn = drawn_together(found)
    measured = {entry.cell.run: entry for entry in reversed(found) if not entry.cell.artefact.startswith("figure")}
    cells = [entry for entry in found if entry is measured.get(entry.cell.run)]
    sections = (
        summary(found, budget, deviating=bool(deviations(found))),
        _how_made(found, records, failures),
        table("table1", found),
        table("table2", found),
        theory(found),
        agreement(found),
        figure2("figure2-base-space", found),
        figure2("figure2-distance", found),
        gains([entry.trained for entry in found if entry.cell.artefact.startswith("table")]),
        probes(found),
        curves(drawn),
        equivariance(
            [entry.trained for entry in cells if entry.cell.study is None],
            drawn,
            [
                entry.trained._replace(row=f"{entry.row}, {entry.cell.variant}")
                for entry in cells
                if entry.cell.study is not None
            ],
        ),
        studies(found),
        costs(costs_of(found)),
        Section("Failed", logs=failures) if failures else None,
    )
    return Document(
        f"Homomorphic self-supervised learning, reproduced: {budget} budget",
        WHAT_WAS_COMPARED,
        tuple(section for section in sections if section is not None),
    )


def drawn_together(found: Sequence[Entry]) -> dict[str, list[Row]]:
    """The rows of the tables that have runs, by name, with their modes.

    Pairs without a limit have plots of their own: two curves of a mode could not be told apart.
    """
    rows: dict[str, list[RunRecord]] = {}
    for entry in found:
        if entry.cell.artefact.startswith("table") and entry.records:
            name = f"{entry.row}, {ANY_PAIRS}" if entry.cell.variant == ANY_PAIRS else entry.row
            rows.setdefault(name, []).extend(entry.records)
    return {name: comparison_table(records) for name, records in rows.items()}


def costs_of(found: Sequence[Entry]) -> dict[str, tuple[Sequence[RunRecord], int | None]]:
    """Runs by name, one that several cells share once, and the GPU-hours of each in the paper."""
    runs: dict[str, tuple[Sequence[RunRecord], int | None]] = {}
    for entry in found:
        if entry.records:
            # Figure 2 has the paper's protocol too; what is beyond it, or beside its rows, has no cost there.
            in_paper = entry.cell.study is None and entry.cell.variant is None
            theirs = paper.GPU_HOURS[entry.cell.dataset] if in_paper else None
            runs.setdefault(entry.cell.run, (entry.records, theirs))
    return runs


def _how_made(found: list[Entry], records: Mapping[str, RunRecord], failures: Mapping[str, str]) -> Section:
    runs = f"{len(records)} run{'' if len(records) == 1 else 's'}"
    failed = f" ({len(failures)} more failed)" if failures else ""
    in_tables = [entry.cell.variant is None for entry in found if entry.cell.artefact.startswith("table")]
    kinds = (
        ("cell", "of the paper's tables", sum(in_tables)),
        ("variant", "beside them", len(in_tables) - sum(in_tables)),
        ("point", "of its figure 2", sum(entry.cell.artefact.startswith("figure") for entry in found)),
        ("cell", "beyond it", sum(entry.cell.artefact == "beyond" for entry in found)),
    )
    counted = []
    for thing, where, number in kinds:
        if number:
            counted.append(f"{number} {thing}{'' if number == 1 else 's'} {where}")
    text = f"{runs}{failed} for {', '.join(counted)}."
    text += " Several of these may share a run." if len(counted) > 1 else ""
    tables = [record for entry in found if entry.cell.artefact.startswith("table") for record in entry.records]
    others = deviations(found) or ["Every run has the settings of its recipe."]
    points = [*others, *share_statement(tables), *protocol_statements(tables)]
    return Section("How these runs were made", (text, provenance(list(records.values()))), tuple(points))
