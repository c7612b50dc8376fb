"""Section on the studies beyond the paper: variants side by side, each against the first."""

from __future__ import annotations

from collections.abc import Sequence

from hssl.experiments import claims
from hssl.experiments.beyond import STUDIES, Study
from hssl.experiments.blocks import Line, Number, Section, Table, apart, p_value
from hssl.experiments.claims import EQUALITY, STRUCTURE, Claim
from hssl.experiments.entries import TITLES, Entry
from hssl.experiments.probes import measures
from hssl.experiments.tables import MODES, NONE, Summary


def studies(found: Sequence[Entry]) -> Section | None:
    """Every study that was begun, in a part of its own; none where none was."""
    parts = []
    for study in STUDIES.values():
        here = [entry for entry in found if entry.cell.study == study.name and (entry.records or entry.failed)]
        if here:
            parts.append(_several(study, here) if len(study.variants) > 1 else _one(study, here))
    if not parts:
        return None
    return Section(
        TITLES["beyond"],
        (
            "Each study changes one thing and keeps the rest. Readout, linear probe and kNN are test accuracies in "
            "percent; differences are of the readout. Tests as above, corrected over the lines of a study. The "
            "equivariance errors of the variants are in the table above.",
        ),
        parts=tuple(parts),
    )


def _several(study: Study, here: Sequence[Entry]) -> Section:
    base = next(iter(study.variants))
    by_place: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in here:
        by_place.setdefault((entry.row, entry.cell.mode), {})[entry.cell.variant or ""] = entry
    # In the study's order: what a variant is compared with comes first.
    every = [
        (row, mode, variant, variants[variant], variants.get(base))
        for (row, mode), variants in by_place.items()
        for variant in study.variants
        if variant in variants
    ]
    compared = [(entry, of_base) for _, _, variant, entry, of_base in every if variant != base]
    pairs: list[tuple[str, Summary | None, Summary | None]] = [
        (entry.cell.run, entry.readout, None if of_base is None else of_base.readout) for entry, of_base in compared
    ]
    claim = Claim(study.title, "the variant", base, EQUALITY, claims.EQUAL_OR_NOT)
    told = {item.row: item for item in claims.assess(claim, pairs)}
    lines: list[Line] = []
    for row, mode, variant, entry, _ in every:
        rest: Line = (Number(NONE), Number(NONE), Number(NONE), NONE)
        if variant != base:
            item = told[entry.cell.run]
            rest = (apart(item.told), *(p_value(p) for p in item.p or (None, None)), item.verdict)
        lines.append((row, MODES[mode], variant, *_measures(entry), *rest))
    heads = (*_HEADS, f"Minus '{base}'", *(f"p: {name}" for name in EQUALITY), "Verdict")
    table = Table(f"study-{study.name}", heads, tuple(lines), f"Source: {study.source}.")
    return Section(study.title, (study.question,), tables=(table,))


def _one(study: Study, here: Sequence[Entry]) -> Section:
    lines: list[Line] = [
        (entry.row, MODES[entry.cell.mode], entry.cell.variant or "", *_measures(entry)) for entry in here
    ]
    by_mode = {entry.cell.mode: entry for entry in here}
    points: tuple[str, ...] = ()
    if {"a-ssl", "h-ssl"} <= by_mode.keys():
        pair = (by_mode["h-ssl"].row, by_mode["h-ssl"].readout, by_mode["a-ssl"].readout)
        points = tuple(claims.sentence(STRUCTURE, item) for item in claims.assess(STRUCTURE, [pair]))
    table = Table(f"study-{study.name}", _HEADS, tuple(lines), f"Source: {study.source}.")
    return Section(study.title, (study.question,), points, tables=(table,))


_HEADS = ("Row", "Training", "Variant", "Readout", "Linear probe", "kNN")


def _measures(entry: Entry) -> tuple[Number, ...]:
    readout, *others = measures(entry)
    return Number(entry.text) if entry.readout is None else readout, *others
