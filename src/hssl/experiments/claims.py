"""What the theory says about the tables, tested. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

from hssl.experiments.differences import difference
from hssl.experiments.entries import Entry, interval
from hssl.experiments.manifest import Artefact

MARGIN = 2.0
"""Points of accuracy within which A-SSL and H-SSL count as equal in the test of equivalence."""


def statements(found: Sequence[Entry]) -> list[str]:
    """The two claims of the theory, tested: one sentence a row of the tables."""
    said = []
    by_row: dict[tuple[Artefact, str], dict[str, Entry]] = {}
    for entry in found:
        if entry.cell.artefact in ("table1", "table2"):
            by_row.setdefault((entry.cell.artefact, entry.cell.stem.name), {})[entry.cell.mode] = entry
    for (artefact, stem), modes in by_row.items():
        if not {"a-ssl", "h-ssl"} <= modes.keys():
            continue
        told = difference(modes["h-ssl"].readout, modes["a-ssl"].readout)
        if told is None:
            said.append(f"{stem}: H-SSL against A-SSL cannot be tested: that takes two runs of each.")
        elif artefact == "table1":
            equal = told.within(MARGIN)
            verdict = (
                f"equal to within {MARGIN:g} points"
                if equal < 0.05
                else "different"
                if told.p < 0.05
                else "neither shown to be equal nor to be different"
            )
            said.append(
                f"{stem}, with structure: H-SSL - A-SSL {interval(told)} points, p = {told.p:.2g}; equivalence to "
                f"within {MARGIN:g} points p = {equal:.2g}: {verdict}."
            )
        else:
            verdict = (
                "H-SSL stays behind, as it should"
                if told.high < 0
                else "H-SSL is ahead, against the theory"
                if told.low > 0
                else "not shown to differ"
            )
            said.append(
                f"{stem}, without structure: H-SSL - A-SSL {interval(told)} points, p = {told.p:.2g}: {verdict}."
            )
    return said
