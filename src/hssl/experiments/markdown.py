"""The report of a reproduction as Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from hssl.experiments.claims import statements
from hssl.experiments.entries import TITLES, budget_of, entries, interval, lead
from hssl.experiments.manifest import ARTEFACTS
from hssl.experiments.record import RunRecord
from hssl.experiments.tables import NONE, provenance


def markdown(records: Mapping[str, RunRecord], failures: Mapping[str, str]) -> str:
    """The tables as Markdown, a line a cell."""
    found = entries(records, failures)
    parts = [f"# Reproduction, {budget_of(records)} budget", lead(found)]
    parts += [f"- {statement}" for statement in statements(found)]
    for artefact in ARTEFACTS:
        here = [entry for entry in found if entry.cell.artefact == artefact]
        if not here:
            continue
        lines = ["| cell | ours | runs | paper | ours - paper (95 %) |", "|---|---:|---:|---:|---:|"]
        for entry in here:
            place = entry.cell.variant or entry.place
            label = entry.cell.run if artefact.startswith("table") else f"{entry.cell.run} ({place})"
            paper_text = NONE if entry.paper is None else str(entry.paper)
            lines.append(
                f"| {label} | {entry.text} | {len(entry.records)} | {paper_text} | {interval(entry.to_paper)} |"
            )
        parts += [f"## {TITLES[artefact]}", "\n".join(lines)]
    if failures:
        told = [f"- {name}: {(text.splitlines() or ['no message'])[0]}" for name, text in failures.items()]
        parts += ["## Failed", "\n".join(told)]
    parts.append(provenance(list(records.values())))
    return "\n\n".join(parts) + "\n"
