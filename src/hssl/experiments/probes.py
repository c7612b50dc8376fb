"""Section on linear probe and kNN beside the readout: three ways to read the same features."""

from __future__ import annotations

from collections.abc import Sequence

from hssl.experiments.blocks import Line, Number, Section, Table, accuracy
from hssl.experiments.entries import Entry
from hssl.experiments.tables import MODES


def probes(found: Sequence[Entry]) -> Section | None:
    """All three for every cell of the tables that has one of them."""
    lines: list[Line] = [
        (entry.row, MODES[entry.cell.mode], *measures(entry))
        for entry in found
        if entry.cell.artefact in ("table1", "table2") and (entry.readout or entry.linear_probe or entry.knn)
    ]
    if not lines:
        return None
    return Section(
        "Readout, linear probe and kNN",
        (
            "Three ways to read the same features. The readout is the paper's measure. On MNIST it has one more layer "
            "before its linear classifier, and that layer is trained, also on random weights; on the other data it "
            "pools and normalises. Linear probe (logistic regression) and k nearest neighbours read the pooled "
            "features as they are; the paper has no numbers for them.",
        ),
        tables=(Table("probes", ("Row", "Training", "Readout", "Linear probe", "kNN"), tuple(lines)),),
        points=protocols(found),
    )


def measures(entry: Entry) -> tuple[Number, ...]:
    """Readout, linear probe and kNN of a cell's runs."""
    return (
        accuracy(entry.readout, run=entry.cell.run),
        accuracy(entry.linear_probe, run=entry.cell.run, measure="linear_probe"),
        accuracy(entry.knn, run=entry.cell.run, measure="knn"),
    )


def protocols(found: Sequence[Entry]) -> tuple[str, ...]:
    """How each of the three was measured, in the records' words; the ways of training, where they differ in it."""
    told: dict[str, dict[str, dict[str, None]]] = {"Readout": {}, "Linear probe": {}, "kNN": {}}
    for entry in found:
        for record in entry.records:
            measures = record.evaluation
            for name, measure in (
                ("Readout", measures.readout),
                ("Linear probe", measures.linear_probe),
                ("kNN", measures.knn),
            ):
                if measure is not None:
                    told[name].setdefault(measure.protocol, {})[MODES[entry.cell.mode]] = None
    return tuple(
        f"{name} ({', '.join(modes)}): {protocol}" if len(by_protocol) > 1 else f"{name}: {protocol}"
        for name, by_protocol in told.items()
        for protocol, modes in by_protocol.items()
    )
