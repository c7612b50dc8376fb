"""What the report of a reproduction holds, in its order; the same for the page and for Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hssl.analysis.deviations import deviations
from hssl.analysis.entries import Entry, entries
from hssl.analysis.limits import WHAT_WAS_COMPARED, protocol_statements, share_statement
from hssl.analysis.summaries import provenance
from hssl.report.blocks import Section
from hssl.report.sections import claims as claim_tables
from hssl.report.sections import paper_tables
from hssl.report.sections.costs import costs
from hssl.report.sections.curves import curves
from hssl.report.sections.equivariance import equivariance
from hssl.report.sections.gains import Trained, gains
from hssl.report.sections.probes import probes
from hssl.report.sections.studies import studies
from hssl.runs.record import RunRecord


@dataclass(frozen=True)
class Report:
    """All that is told, before it is rendered.

    Attributes:
        title: of the whole.
        lead: what is reproduced, for who has not read the paper.
        sections: those that there is something for.
        failures: errors of runs that failed, by name.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    failures: Mapping[str, str]


def report_of(records: Mapping[str, RunRecord], failures: Mapping[str, str]) -> Report:
    """The report of these runs.

    Args:
        records: by the name of their run.
        failures: errors of runs that failed, by name.

    Raises:
        DataError: as `entries`.
    """
    found = entries(records, failures)
    budget = next(iter(records.values())).budget if records else "no"
    made = [
        claim_tables.summary(found, budget, deviating=bool(deviations(found))),
        _how_made(found, records, failures),
        paper_tables.table("table1", found),
        paper_tables.table("table2", found),
        claim_tables.theory(found),
        claim_tables.agreement(found),
        paper_tables.figure2("figure2-base-space", found),
        paper_tables.figure2("figure2-distance", found),
        gains([Trained(e.row, e.training, e.records) for e in found if e.cell.artefact.startswith("table")]),
        probes(found),
        curves(found),
        equivariance(found),
        studies(found),
        costs(found),
    ]
    return Report(
        f"Homomorphic self-supervised learning, reproduced: {budget} budget",
        WHAT_WAS_COMPARED,
        tuple(section for section in made if section is not None),
        failures,
    )


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
