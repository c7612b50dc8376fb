"""What the theory says about the tables, and whether ours are the paper's, tested. Imports no torch.

A claim is tested in each row of a table. Its rows are one family: their p-values are corrected by Holm's method. A
claim that is not refuted is not shown: equality has a test of its own, of two one-sided tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from hssl.experiments.blocks import interval, p_text
from hssl.experiments.chance import mostly_at_chance
from hssl.experiments.differences import Difference, difference, holm, trend
from hssl.experiments.entries import Entry
from hssl.experiments.manifest import Artefact
from hssl.experiments.tables import MODES, Summary

MARGIN = 2.0
"""Points of accuracy within which two accuracies count as equal in the tests of equivalence."""
SIGNIFICANT = 0.05
UNDECIDED = "undecided"
UNTESTED = "not tested"


@dataclass(frozen=True, eq=False)
class Claim:
    """A statement about two accuracies and how it is tested.

    Attributes:
        title: for people.
        one, other: what is compared, `one` minus `other`; of figure 2 the ends of an axis.
        hypotheses: what each test tries to refute, and its p-value.
        verdicts: by which of the hypotheses were refuted, in their order.
        said: what the paper says, in its words; empty where its numbers are tested instead.
    """

    title: str
    one: str
    other: str
    hypotheses: Mapping[str, Callable[[Difference], float]]
    verdicts: Mapping[tuple[bool, ...], str]
    said: str = ""


EQUAL = f"equal within {MARGIN:g} points"
CLOSE = f"different, by under {MARGIN:g} points"
DIFFERENT = "different"
EQUALITY: dict[str, Callable[[Difference], float]] = {
    "equal": lambda told: told.p,
    f"≥ {MARGIN:g} apart": lambda told: told.within(MARGIN),
}
EQUAL_OR_NOT: dict[tuple[bool, ...], str] = {
    (False, False): UNDECIDED,
    (True, False): DIFFERENT,
    (False, True): EQUAL,
    (True, True): CLOSE,
}
STRUCTURE = Claim("With structure, A-SSL and H-SSL learn the same", "H-SSL", "A-SSL", EQUALITY, EQUAL_OR_NOT)
PAPER = Claim("Our accuracies are the paper's", "ours", "the paper's", EQUALITY, EQUAL_OR_NOT)
BELOW = "H-SSL below"
AHEAD = "H-SSL above"
# Two sides are looked at: each has half of what a verdict may err.
_SIDES: dict[str, Callable[[Difference], float]] = {
    "not below": lambda told: min(1.0, 2 * told.below(0)),
    "not above": lambda told: min(1.0, 2 * told.p_greater),
}
NO_STRUCTURE = Claim(
    "Without structure, H-SSL learns less than A-SSL",
    "H-SSL",
    "A-SSL",
    _SIDES,
    {(False, False): UNDECIDED, (True, False): BELOW, (False, True): AHEAD},
)
NOTHING_LEARNED = f"not better by {MARGIN:g} points"
LITTLE_LEARNED = f"better, by under {MARGIN:g} points"
LEARNED = "better"
UNTRAINED = "no conclusion (a loss ended at chance)"
NO_CONTROL = "no conclusion (A-SSL is not shown to be better either)"
_BETTER: dict[str, Callable[[Difference], float]] = {
    "not better": lambda told: told.p_greater,
    f"≥ {MARGIN:g} better": lambda told: told.below(MARGIN),
}
_BETTER_OR_NOT: dict[tuple[bool, ...], str] = {
    (False, False): UNDECIDED,
    (True, False): LEARNED,
    (False, True): NOTHING_LEARNED,
    (True, True): LITTLE_LEARNED,
}
LEARNS = Claim("With structure, H-SSL is better than random weights", "H-SSL", "frozen", _BETTER, _BETTER_OR_NOT)
FROZEN = Claim("Without structure, H-SSL is no better than random weights", "H-SSL", "frozen", _BETTER, _BETTER_OR_NOT)
OPEN = (UNDECIDED, UNTESTED, UNTRAINED, NO_CONTROL)
"""Verdicts that decide nothing."""
RISES, FALLS, CONSTANT = "rises", "falls", f"constant within {MARGIN:g} points"
_TREND: dict[str, Callable[[Difference], float]] = {
    "not rising": _SIDES["not above"],
    "not falling": _SIDES["not below"],
    f"two places ≥ {MARGIN:g} apart": lambda told: told.within(MARGIN),
}
_TRENDS: dict[tuple[bool, ...], str] = {
    (False, False, False): UNDECIDED,
    (True, False, False): RISES,
    (False, True, False): FALLS,
    (False, False, True): CONSTANT,
    (True, False, True): f"{RISES}, by under {MARGIN:g} points",
    (False, True, True): f"{FALLS}, by under {MARGIN:g} points",
}
FIGURE2: Mapping[Artefact, Claim] = {
    "figure2-base-space": Claim(
        "Accuracy rises slightly as g0 grows", "largest", "smallest", _TREND, _TRENDS,
        "Test accuracy marginally increases as we increase total base space size",
    ),
    "figure2-distance": Claim(
        "Accuracy is constant or falls as g1 and g2 may lie farther apart", "farthest", "nearest", _TREND, _TRENDS,
        "Test accuracy is constant or decreases as we increase the maximum distance between fiber bundles",
    ),
}  # fmt: skip
"""What the captions of figure 2 say; it has no numbers."""


@dataclass(frozen=True)
class Tested:
    """A claim in one row.

    Attributes:
        row: where.
        one, other: what was compared.
        told: their difference; None where it cannot be tested.
        p: of the claim's hypotheses, corrected over the rows; empty where it cannot be tested.
        verdict: in words.
        control: the same test where the claim should not hold; None where there is no such.
    """

    row: str
    one: Summary | None
    other: Summary | None
    told: Difference | None
    p: tuple[float, ...]
    verdict: str
    control: Tested | None = None


def assess(claim: Claim, rows: Sequence[tuple[str, Summary | None, Summary | None]]) -> list[Tested]:
    """The claim in each row, corrected over those in which it can be tested."""
    return _tested(claim, [(row, one, other, difference(one, other)) for row, one, other in rows])


def figure2(artefact: Artefact, found: Sequence[Entry]) -> list[Tested]:
    """The claim of one half of figure 2 in each of its rows, as the trend over all of a row's points."""
    rows: dict[str, list[Entry]] = {}
    for entry in found:
        if entry.cell.artefact == artefact:
            rows.setdefault(entry.row, []).append(entry)
    pairs = [
        (row, points[-1].readout, points[0].readout, trend([entry.accuracies for entry in points]))
        for row, points in rows.items()
    ]
    return [unless_untrained(item, rows[item.row]) for item in _tested(FIGURE2[artefact], pairs)]


def unless_untrained(item: Tested, of: Sequence[Entry]) -> Tested:
    """No verdict but that of a difference, unless all that was compared has learned something."""
    kept = item.verdict in (DIFFERENT, RISES, FALLS, UNTESTED)
    return (
        item if kept or not any(mostly_at_chance(entry.records) for entry in of) else replace(item, verdict=UNTRAINED)
    )


def _tested(
    claim: Claim, rows: Sequence[tuple[str, Summary | None, Summary | None, Difference | None]]
) -> list[Tested]:
    known = [number for number, (*_, told) in enumerate(rows) if told is not None]
    corrected = [
        holm([test(told) for *_, told in rows if told is not None]) for test in claim.hypotheses.values()
    ]  # by hypothesis, then by row
    found = []
    for number, (row, one, other, told) in enumerate(rows):
        if told is None:
            found.append(Tested(row, one, other, None, (), UNTESTED))
            continue
        p = tuple(values[known.index(number)] for values in corrected)
        refuted = tuple(value < SIGNIFICANT for value in p)
        found.append(Tested(row, one, other, told, p, claim.verdicts[refuted]))
    return found


Measured = Callable[[Entry], Summary | None]


def readout(entry: Entry) -> Summary | None:
    """The measure of the paper."""
    return entry.readout


def papers(entry: Entry) -> Summary | None:
    """The paper's own number."""
    return entry.paper


OTHER_MEASURES: Mapping[str, Measured] = {
    "linear probe": lambda entry: entry.linear_probe,
    "kNN": lambda entry: entry.knn,
}


def structure(found: Sequence[Entry], measure: Measured = readout) -> list[Tested]:
    """A-SSL against H-SSL in each row of table 1 that has runs of both, and has learned something from both."""
    tested = assess(STRUCTURE, _pairs(found, "table1", "h-ssl", "a-ssl", measure))
    if measure is papers:
        return tested
    sides = [entry for entry in found if entry.cell.artefact == "table1"]
    return [unless_untrained(item, [entry for entry in sides if entry.row == item.row]) for item in tested]


def no_structure(found: Sequence[Entry], measure: Measured = readout) -> list[Tested]:
    """H-SSL against A-SSL in each row of table 2 that has runs of both."""
    return assess(NO_STRUCTURE, _pairs(found, "table2", "h-ssl", "a-ssl", measure))


def learns(found: Sequence[Entry], measure: Measured = readout) -> list[Tested]:
    """H-SSL against random weights in each row of table 1 that has runs of both, with A-SSL's test beside it."""
    beside = {item.row: item for item in assess(LEARNS, _pairs(found, "table1", "a-ssl", "frozen", measure))}
    tested = assess(LEARNS, _pairs(found, "table1", "h-ssl", "frozen", measure))
    return [replace(item, control=beside.get(item.row)) for item in tested]


def against_frozen(found: Sequence[Entry], measure: Measured = readout) -> list[Tested]:
    """H-SSL against random weights in each row of table 2 that has runs of both.

    The control is A-SSL against random weights: where that is not better either, it is not for want of structure.
    """
    controls = {item.row: item for item in assess(FROZEN, _pairs(found, "table2", "a-ssl", "frozen", measure))}
    tested = []
    for item in assess(FROZEN, _pairs(found, "table2", "h-ssl", "frozen", measure)):
        control = controls.get(item.row)
        learns = control is not None and control.verdict in (LEARNED, LITTLE_LEARNED)
        verdict = NO_CONTROL if item.verdict == NOTHING_LEARNED and not learns else item.verdict
        tested.append(replace(item, verdict=verdict, control=control))
    return tested


def against_paper(found: Sequence[Entry]) -> list[Tested]:
    """Ours against the paper's in each cell of the tables."""
    there = [entry for entry in found if entry.paper is not None and entry.readout is not None]
    return assess(PAPER, [(f"{e.row}, {MODES[e.cell.mode]}", e.readout, e.paper) for e in there])


_OF_THEORY: Mapping[Claim, Callable[[Sequence[Entry], Measured], list[Tested]]] = {
    STRUCTURE: structure,
    LEARNS: learns,
    NO_STRUCTURE: no_structure,
    FROZEN: against_frozen,
}


def of_theory(found: Sequence[Entry]) -> list[tuple[Claim, list[Tested]]]:
    """The claims of the theory, each in its rows."""
    return [(claim, test(found, readout)) for claim, test in _OF_THEORY.items()]


def by_other_measures(claim: Claim, found: Sequence[Entry]) -> dict[str, dict[str, Tested]]:
    """A claim of the theory by linear probe and kNN, by row; each measure a family of its own."""
    test = _OF_THEORY[claim]
    return {name: {item.row: item for item in test(found, measure)} for name, measure in OTHER_MEASURES.items()}


def papers_own(claim: Claim, found: Sequence[Entry]) -> dict[str, Tested]:
    """A claim of the theory tested on the paper's numbers, by row; the rows are those that we have runs of."""
    return {item.row: item for item in _OF_THEORY[claim](found, papers)}


def count(rows: Iterable[Tested]) -> dict[str, int]:
    """How many rows have each verdict."""
    verdicts = [item.verdict for item in rows]
    return {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}


def statements(found: Sequence[Entry]) -> list[str]:
    """The claims of the theory in sentences, one a row of the tables."""
    return [
        sentence(claim, item, "with structure" if claim in (STRUCTURE, LEARNS) else "without structure")
        for claim, rows in of_theory(found)
        for item in rows
    ]


def sentence(claim: Claim, item: Tested, where: str = "") -> str:
    """A claim in one row, with its numbers, in a sentence."""
    row = f"{item.row}, {where}" if where else item.row
    if item.told is None:
        return f"{row}: {claim.one} against {claim.other} is not tested: that takes two runs of each, and some spread."
    tests = ", ".join(f"p = {p_text(p)} for '{name}'" for name, p in zip(claim.hypotheses, item.p, strict=True))
    return f"{row}: {claim.one} - {claim.other} {interval(item.told)} points, {tests}: {item.verdict}."


def _pairs(
    found: Sequence[Entry],
    artefact: str,
    one: str,
    other: str,
    measure: Measured,
) -> list[tuple[str, Summary | None, Summary | None]]:
    rows: dict[str, dict[str, Entry]] = {}
    for entry in found:
        if entry.cell.artefact == artefact:
            rows.setdefault(entry.row, {})[entry.cell.mode] = entry
    return [
        (row, measure(modes[one]), measure(modes[other])) for row, modes in rows.items() if {one, other} <= modes.keys()
    ]
