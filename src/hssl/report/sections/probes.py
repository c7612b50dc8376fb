"""Section on all measures side by side: ways to read the same features."""

from __future__ import annotations

from collections.abc import Sequence

from hssl.analysis.entries import Entry
from hssl.analysis.summaries import MEASURES
from hssl.report.document import Line, Number, Section, Table, accuracy


def probes(found: Sequence[Entry]) -> Section | None:
    """All measures for every cell of the tables that has one of them."""
    here = [entry for entry in found if entry.cell.artefact in ("table1", "table2")]
    there = [measure for measure in MEASURES if any(entry.measured(measure) for entry in here)]
    lines: list[Line] = [
        (entry.row, entry.training, *(measured(entry, measure) for measure in there))
        for entry in here
        if any(entry.measured(measure) for measure in there)
    ]
    if not lines:
        return None
    return Section(
        "All measures",
        (
            "Ways to read the same features. The readout is the paper's measure. On MNIST it has one more layer "
            "before its linear classifier, and that layer is trained, also on random weights; on the other data it "
            "pools and normalises. Linear probe (logistic regression), 10-shot (the linear probe from ten labels a "
            "class) and k nearest neighbours read the same pooled features, standardised; the paper has no numbers for "
            "them.",
        ),
        tables=(Table("probes", ("Row", "Training", *(MEASURES[measure] for measure in there)), tuple(lines)),),
        points=protocols(here),
    )


def measured(entry: Entry, measure: str) -> Number:
    """One measure of a cell's runs."""
    return accuracy(entry.measured(measure), run=entry.cell.run, measure=measure)


def protocols(found: Sequence[Entry]) -> tuple[str, ...]:
    """How each was measured, in the records' words; the ways of training, where they differ in it."""
    told: dict[str, dict[str, dict[str, None]]] = {name: {} for name in MEASURES.values()}
    for entry in found:
        for record in entry.records:
            for measure, name in MEASURES.items():
                if (result := getattr(record.evaluation, measure)) is not None:
                    told[name].setdefault(result.protocol, {})[entry.training] = None
    return tuple(
        f"{name} ({', '.join(modes)}): {protocol}" if len(by_protocol) > 1 else f"{name}: {protocol}"
        for name, by_protocol in told.items()
        for protocol, modes in by_protocol.items()
    )
