"""Section on the studies beyond the paper: variants side by side, each against the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hssl.analysis import claims
from hssl.analysis.claims import EQUALITY, STRUCTURE, Claim, Tested
from hssl.analysis.entries import TITLES, Entry
from hssl.analysis.summaries import MEASURES, MODES, NONE, within_a_sentence
from hssl.paper.studies import STUDIES, Study
from hssl.report.document import Line, Number, Section, Table, accuracy, apart, p_value


@dataclass(frozen=True)
class Comparison:
    """A variant against the first of its study, in one row and mode.

    Attributes:
        row, mode: where.
        variant: the other answer.
        entry, base: its runs and those of the first variant; None where it was not run.
        tested: how far apart the readouts are.
    """

    row: str
    mode: str
    variant: str
    entry: Entry
    base: Entry | None
    tested: Tested


def begun(study: Study, found: Sequence[Entry]) -> list[Entry]:
    """The study's cells that have runs, failed ones included."""
    return [entry for entry in found if entry.cell.study == study.name and (entry.records or entry.failed)]


def compare(study: Study, here: Sequence[Entry]) -> list[Comparison]:
    """Every variant against the first, where both stand in the same row and mode: one family of tests.

    Args:
        study: of more than one variant.
        here: its cells that were begun.
    """
    base, *others = study.variants
    places = _by_place(here)
    pairs = [
        (row, mode, other, variants[other], variants.get(base))
        for (row, mode), variants in places.items()
        for other in others
        if other in variants
    ]
    claim = Claim(study.title, "the variant", base, EQUALITY, claims.EQUAL_OR_NOT, learned=True)
    rows = [
        claims.Sides(
            entry.cell.run,
            (entry.readout, None if first is None else first.readout),
            [entry] if first is None else [entry, first],
        )
        for _, _, _, entry, first in pairs
    ]
    return [Comparison(*pair, tested) for pair, tested in zip(pairs, claims.assess(claim, rows), strict=True)]


def _by_place(here: Sequence[Entry]) -> dict[tuple[str, str], dict[str, Entry]]:
    places: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in here:
        places.setdefault((entry.row, entry.cell.mode), {})[entry.cell.variant or ""] = entry
    return places


def studies(found: Sequence[Entry]) -> Section | None:
    """Every study that was begun, in a part of its own; none where none was."""
    parts = [
        _several(study, here) if len(study.variants) > 1 else _one(study, here)
        for study in STUDIES.values()
        if (here := begun(study, found))
    ]
    if not parts:
        return None
    return Section(
        TITLES["beyond"],
        (
            "Each study changes one thing and keeps the rest. Test accuracies in percent: the readout, below it the "
            "other measures. Differences are of the readout, paired by seed, tested as above and corrected over a "
            "study. The variants' equivariance errors are in the section before this one.",
        ),
        parts=tuple(parts),
    )


def _several(study: Study, here: Sequence[Entry]) -> Section:
    base, *others = study.variants
    told = {(item.row, item.mode, item.variant): item.tested for item in compare(study, here)}
    lines: list[Line] = []
    for (row, mode), variants in _by_place(here).items():
        line: list[str | Number] = [row, MODES[mode], *(_measures(variants.get(name)) for name in study.variants)]
        for other in others:
            item = told.get((row, mode, other))
            p = (None, None) if item is None or not item.p else item.p
            line += [apart(item.told if item else None), *map(p_value, p), item.verdict if item else NONE]
        lines.append(tuple(line))
    heads = ["Row", "Training", *study.variants]
    for other in others:
        heads += [f"{other} − {base}", *(f"p: {test.name}" for test in EQUALITY), "Verdict"]
    table = Table(f"study-{study.name}", tuple(heads), tuple(lines), f"Source: {study.source}.")
    return Section(study.title, (study.question,), tables=(table,))


def _one(study: Study, here: Sequence[Entry]) -> Section:
    lines: list[Line] = [(entry.row, MODES[entry.cell.mode], _measures(entry)) for entry in here]
    by_mode = {entry.cell.mode: entry for entry in here}
    points: tuple[str, ...] = ()
    if {"a-ssl", "h-ssl"} <= by_mode.keys():
        of = (by_mode["h-ssl"], by_mode["a-ssl"])
        sides = claims.Sides(of[0].row, tuple(entry.readout for entry in of), of)
        points = tuple(claims.sentence(STRUCTURE, item) for item in claims.assess(STRUCTURE, [sides]))
    heads = ("Row", "Training", *study.variants)
    table = Table(f"study-{study.name}", heads, tuple(lines), f"Source: {study.source}.")
    return Section(study.title, (study.question,), points, tables=(table,))


def _measures(entry: Entry | None) -> Number:
    """The readout, and below it what else was read from the same features."""
    if entry is None or entry.readout is None:
        return Number(NONE if entry is None else entry.text)
    others = [
        f"{within_a_sentence(measure)} {found}"
        for measure in MEASURES
        if measure != "readout" and (found := entry.measured(measure))
    ]
    failed = [f"{entry.failed} failed"] if entry.failed else []
    return accuracy(entry.readout, below=(*others, *failed), run=entry.cell.run)
