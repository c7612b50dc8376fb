"""What decisions do to accuracy, where it was measured: the studies' comparisons in one table. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from hssl.analysis.entries import Entry
from hssl.analysis.summaries import MODES, NONE
from hssl.paper.studies import STUDIES
from hssl.report.document import Line, Number, Table, accuracy, apart
from hssl.report.sections.studies import begun, compare


def effects(found: Sequence[Entry]) -> Table:
    """A line for each variant, row and mode that was run, against the first variant of its study; tested as there."""
    lines: list[Line] = []
    for study in STUDIES.values():
        if len(study.variants) < 2:
            continue
        base = next(iter(study.variants))
        for item in compare(study, begun(study, found)):
            first = Number(NONE) if item.base is None else accuracy(item.base.readout)
            readout = accuracy(item.entry.readout)
            told = apart(item.tested.told)
            change = f"{item.variant}, not {base}"
            lines.append((study.name, change, item.row, MODES[item.mode], first, readout, told, item.tested.verdict))
    headings = ("Study", "Change", "Row", "Training", "Without", "With", "Difference (95 %)", "Tested")
    return Table("effects", headings, tuple(lines))
