"""What the theory says about the tables, and whether ours are the paper's, tested. Imports no torch.

A claim is tested in each row that it is about, by each measure. The rows of one measure are one family: their p-values
are corrected by Holm's method. A claim that is not refuted is not shown: equality has a test of its own, of two
one-sided tests. Where nothing is shown, the power of the same tests says how many seeds would show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from hssl.analysis.chance import mostly_at_chance
from hssl.analysis.differences import Difference, difference, holm, interval, least, p_text, seeds_for, trend, welch
from hssl.analysis.entries import PAPERS, Entry
from hssl.analysis.summaries import DATASETS, MEASURES, Summary
from hssl.paper.grid import ANY_PAIRS, Artefact

MARGIN = 2.0
"""Points of accuracy within which two accuracies count as equal in the tests of equivalence."""
SIGNIFICANT = 0.05
UNDECIDED = "undecided"
UNTESTED = "not tested"


@dataclass(frozen=True)
class Hypothesis:
    """What a test tries to refute.

    Attributes:
        name: in words.
        above, below: it is refuted by a difference shown to be above, or below, this bound; by either where both are
            there.
        within: it is refuted by a difference shown to be within this margin.
        sides: how many directions are looked at; each has its share of what a verdict may err.
    """

    name: str
    above: float | None = None
    below: float | None = None
    within: float | None = None
    sides: int = 1

    def p(self, told: Difference) -> float:
        """The p-value; below 0.05 it is refuted."""
        if self.within is not None:
            return told.within(self.within)
        found = [] if self.above is None else [told.above(self.above)]
        found += [] if self.below is None else [told.below(self.below)]
        return min(1.0, self.sides * min(found))

    def power(self, told: Difference, level: float, seeds: Any) -> Any:
        """How likely numbers of seeds refute it at this level, were mean and spread the observed ones."""
        if self.within is not None:
            return told.power_within(self.within, level, seeds)
        power = 0.0 * seeds
        if self.above is not None:
            power = power + told.power_above(self.above, level / self.sides, seeds)
        if self.below is not None:
            power = power + told.power_below(self.below, level / self.sides, seeds)
        return power


@dataclass(frozen=True, eq=False)
class Claim:
    """A statement about accuracies and how it is tested.

    Attributes:
        title: for people.
        one, other: what is compared, `one` minus `other`; of figure 2 the ends of an axis.
        hypotheses: what each test tries to refute.
        verdicts: by which of the hypotheses were refuted, in their order.
        rows: what is compared, by row.
        compare: how.
        learned: whether only a difference is concluded where a loss ended at chance.
        control: the same claim where it should hold; where it does not, `NOTHING_LEARNED` is not concluded.
        said: what the paper says, in its words; empty where its numbers are tested instead.
    """

    title: str
    one: str
    other: str
    hypotheses: tuple[Hypothesis, ...]
    verdicts: Mapping[tuple[bool, ...], str]
    rows: Callable[[Sequence[Entry]], Mapping[str, Sequence[Entry]]] = lambda _: {}
    compare: Callable[..., Difference | None] = difference
    learned: bool = False
    control: Claim | None = None
    said: str = ""


class Sides(NamedTuple):
    """What is compared in a row, and the cells that it is of."""

    row: str
    values: tuple[Summary | None, ...]
    of: Sequence[Entry] = ()


@dataclass(frozen=True)
class Tested:
    """A claim in one row.

    Attributes:
        row: where.
        values: what was compared.
        told: their difference; None where it cannot be tested.
        p: of the claim's hypotheses, corrected over the rows; empty where it cannot be tested.
        verdict: in words.
        family: in how many rows the claim could be tested.
    """

    row: str
    values: tuple[Summary | None, ...]
    told: Difference | None
    p: tuple[float, ...]
    verdict: str
    family: int


class Needed(NamedTuple):
    """How many seeds would decide (None: more than `differences.MOST_SEEDS`), and the verdict that they would reach."""

    seeds: int | None
    verdict: str


def assess(claim: Claim, rows: Iterable[Sides]) -> list[Tested]:
    """The claim in each row, corrected over those in which it can be tested."""
    compared = [(sides, claim.compare(*sides.values)) for sides in rows]
    known = [told for _, told in compared if told is not None]
    corrected = zip(*(holm([test.p(told) for told in known]) for test in claim.hypotheses), strict=True)
    found = []
    for sides, told in compared:
        p = () if told is None else next(corrected)
        verdict = UNTESTED if told is None else claim.verdicts[tuple(value < SIGNIFICANT for value in p)]
        stands = verdict in (DIFFERENT, RISES, FALLS, UNTESTED)
        if claim.learned and not stands and any(mostly_at_chance(entry.records) for entry in sides.of):
            verdict = UNTRAINED
        found.append(Tested(sides.row, sides.values, told, p, verdict, len(known)))
    return found


def needed(claim: Claim, item: Tested) -> Needed | None:
    """What would decide an undecided row: the fewest seeds, and the verdict by the test that they are enough for.

    At 80 % power, were the mean and the spread over seeds those observed, at the smallest level of Holm's correction
    (0.05 over the rows): enough seeds for every place that the row may take in it.
    """
    if item.told is None or item.verdict != UNDECIDED:
        return None
    found = []
    for number, hypothesis in enumerate(claim.hypotheses):
        seeds = seeds_for(partial(hypothesis.power, item.told, SIGNIFICANT / item.family))
        alone = tuple(place == number for place in range(len(claim.hypotheses)))
        found.append(Needed(seeds, claim.verdicts[alone]))
    return min(found, key=lambda one: one.seeds or float("inf"))


def rows_by(claim: Claim, found: Sequence[Entry], measure: str) -> list[Tested]:
    """The claim in each of its rows by a measure that one of its sides has, or on the paper's own numbers ('paper')."""
    if measure == PAPERS:  # it has one number where we have variants beside
        found = [entry for entry in found if entry.cell.variant is None]
    rows = [
        Sides(row, values, () if measure == PAPERS else of)
        for row, of in claim.rows(found).items()
        if any(values := tuple(entry.measured(measure) for entry in of))
    ]
    items = assess(claim, rows)
    if claim.control is None:
        return items
    better = (LEARNED, LITTLE_LEARNED)
    learns = {item.row for item in rows_by(claim.control, found, measure) if item.verdict in better}
    return [
        replace(item, verdict=NO_CONTROL) if item.verdict == NOTHING_LEARNED and item.row not in learns else item
        for item in items
    ]


def by_measure(claim: Claim, found: Sequence[Entry]) -> dict[str, list[Tested]]:
    """The claim by every measure of `tables.MEASURES` that there is, each a family of its own."""
    items = {measure: rows_by(claim, found, measure) for measure in MEASURES}
    return {measure: rows for measure, rows in items.items() if rows}


def papers_own(claim: Claim, found: Sequence[Entry]) -> dict[str, Tested]:
    """A claim tested on the paper's numbers, by row, where it has them; the rows are those that we have runs of."""
    return {item.row: item for item in rows_by(claim, found, PAPERS) if item.told is not None}


def against_paper(found: Sequence[Entry]) -> list[Tested]:
    """Ours against the paper's in each cell of the tables."""
    there = [entry for entry in found if entry.paper is not None and entry.readout is not None]
    return assess(PAPER, [Sides(f"{entry.row}: {entry.training}", (entry.readout, entry.paper)) for entry in there])


def count(rows: Iterable[Tested]) -> dict[str, int]:
    """How many rows have each verdict; what was decided comes first."""
    verdicts = sorted((item.verdict for item in rows), key=lambda verdict: verdict in OPEN)
    return {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}


def sentence(claim: Claim, item: Tested) -> str:
    """A claim in one row, with its numbers, in a sentence."""
    if item.told is None:
        return (
            f"{item.row}: {claim.one} against {claim.other} is not tested, which takes two common seeds and a spread."
        )
    tests = ", ".join(f"p = {p_text(p)} for '{test.name}'" for test, p in zip(claim.hypotheses, item.p, strict=True))
    return f"{item.row}: {claim.one} - {claim.other} {interval(item.told)} points, {tests}: {item.verdict}."


def _modes(artefact: str, one: str, other: str) -> Callable[[Sequence[Entry]], dict[str, Sequence[Entry]]]:
    def rows(found: Sequence[Entry]) -> dict[str, Sequence[Entry]]:
        sides: dict[str, dict[str, Entry]] = {}
        for entry in found:
            if entry.cell.artefact == artefact and entry.cell.variant != ANY_PAIRS:
                sides.setdefault(entry.row, {})[entry.cell.mode] = entry
        return {row: (modes[one], modes[other]) for row, modes in sides.items() if {one, other} <= modes.keys()}

    return rows


def _above_all(found: Sequence[Entry]) -> dict[str, Sequence[Entry]]:
    """Supervised, then all others of the row."""
    rows: dict[str, list[Entry]] = {}
    for entry in sorted(found, key=lambda entry: entry.cell.mode != "supervised"):
        if entry.cell.artefact.startswith("table"):
            rows.setdefault(entry.row, []).append(entry)
    order = list(dict.fromkeys(entry.row for entry in found))
    return {row: rows[row] for row in order if row in rows and rows[row][0].cell.mode == "supervised" and rows[row][1:]}


def _scale_and_translation(mode: str) -> Callable[[Sequence[Entry]], dict[str, Sequence[Entry]]]:
    def rows(found: Sequence[Entry]) -> dict[str, Sequence[Entry]]:
        sides: dict[str, dict[str, Entry]] = {}
        for entry in found:
            if entry.cell.artefact == "table1" and entry.cell.mode == mode and entry.cell.variant is None:
                sides.setdefault(DATASETS[entry.cell.dataset], {})[entry.cell.transformation] = entry
        return {
            data: (by["scale"], by["translation"])
            for data, by in sides.items()
            if {"scale", "translation"} <= by.keys()
        }

    return rows


def _near_and_any(found: Sequence[Entry]) -> dict[str, Sequence[Entry]]:
    sides: dict[str, dict[str | None, Entry]] = {}
    for entry in found:
        if entry.cell.artefact == "table1" and entry.cell.mode == "h-ssl":
            sides.setdefault(entry.row, {})[entry.cell.variant] = entry
    return {row: (by[None], by[ANY_PAIRS]) for row, by in sides.items() if {None, ANY_PAIRS} <= by.keys()}


def _points(artefact: Artefact) -> Callable[[Sequence[Entry]], dict[str, Sequence[Entry]]]:
    def rows(found: Sequence[Entry]) -> dict[str, Sequence[Entry]]:
        of: dict[str, list[Entry]] = {}
        for entry in found:
            if entry.cell.artefact == artefact:
                of.setdefault(entry.row, []).append(entry)
        return dict(of)

    return rows


def _two_sides(above: str, below: str) -> tuple[tuple[Hypothesis, ...], dict[tuple[bool, ...], str]]:
    tests = (Hypothesis("not above", above=0, sides=2), Hypothesis("not below", below=0, sides=2))
    return tests, {(False, False): UNDECIDED, (True, False): above, (False, True): below}


EQUAL = f"equal within {MARGIN:g} points"
CLOSE = f"different, by under {MARGIN:g} points"
DIFFERENT = "different"
EQUALITY = (Hypothesis("equal", above=0, below=0, sides=2), Hypothesis(f"≥ {MARGIN:g} apart", within=MARGIN))
EQUAL_OR_NOT: dict[tuple[bool, ...], str] = {
    (False, False): UNDECIDED,
    (True, False): DIFFERENT,
    (False, True): EQUAL,
    (True, True): CLOSE,
}
NOTHING_LEARNED = f"not better by {MARGIN:g} points"
LITTLE_LEARNED = f"better, by under {MARGIN:g} points"
LEARNED = "better"
WORSE = "worse"
UNTRAINED = "no conclusion (a loss ended at chance)"
NO_CONTROL = "no conclusion (A-SSL is not shown to be better either)"
OPEN = (UNDECIDED, UNTESTED, UNTRAINED, NO_CONTROL)
"""Verdicts that decide nothing."""
_BETTER = (
    Hypothesis("not better", above=0, sides=2),
    Hypothesis("not worse", below=0, sides=2),
    Hypothesis(f"≥ {MARGIN:g} better", below=MARGIN),
)
_BETTER_OR_NOT: dict[tuple[bool, ...], str] = {
    (False, False, False): UNDECIDED,
    (True, False, False): LEARNED,
    (False, True, False): WORSE,
    (False, False, True): NOTHING_LEARNED,
    (True, False, True): LITTLE_LEARNED,
    (False, True, True): WORSE,
}
RISES, FALLS, CONSTANT = "rises", "falls", f"constant within {MARGIN:g} points"
_TREND = (
    Hypothesis("not rising", above=0, sides=2),
    Hypothesis("not falling", below=0, sides=2),
    Hypothesis(f"two places ≥ {MARGIN:g} apart", within=MARGIN),
)
_TRENDS: dict[tuple[bool, ...], str] = {
    (False, False, False): UNDECIDED,
    (True, False, False): RISES,
    (False, True, False): FALLS,
    (False, False, True): CONSTANT,
    (True, False, True): f"{RISES}, by under {MARGIN:g} points",
    (False, True, True): f"{FALLS}, by under {MARGIN:g} points",
}

PAPER = Claim("Our accuracies are the paper's", "ours", "the paper's", EQUALITY, EQUAL_OR_NOT, compare=welch)
LEARNS, A_LEARNS = (
    Claim(
        f"With structure, {name} is better than random weights",
        name, "frozen", _BETTER, _BETTER_OR_NOT, _modes("table1", mode, "frozen"),
    )
    for mode, name in (("h-ssl", "H-SSL"), ("a-ssl", "A-SSL"))
)  # fmt: skip
ABOVE_ALL = "above all others"
SUPERVISED = Claim(
    "Supervised is above all others",
    "supervised", "the best other", *_two_sides(ABOVE_ALL, "below another"), _above_all, least,
)  # fmt: skip
STRUCTURE = Claim(
    "With structure, A-SSL and H-SSL learn the same",
    "H-SSL", "A-SSL", EQUALITY, EQUAL_OR_NOT, _modes("table1", "h-ssl", "a-ssl"), learned=True,
)  # fmt: skip
BELOW, AHEAD = "H-SSL below", "H-SSL above"
NO_STRUCTURE = Claim(
    "Without structure, H-SSL learns less than A-SSL",
    "H-SSL", "A-SSL", *_two_sides(AHEAD, BELOW), _modes("table2", "h-ssl", "a-ssl"),
)  # fmt: skip
A_FROZEN = Claim(
    "Without structure, A-SSL is better than random weights",
    "A-SSL", "frozen", _BETTER, _BETTER_OR_NOT, _modes("table2", "a-ssl", "frozen"),
)  # fmt: skip
FROZEN = Claim(
    "Without structure, H-SSL is no better than random weights",
    "H-SSL", "frozen", _BETTER, _BETTER_OR_NOT, _modes("table2", "h-ssl", "frozen"), control=A_FROZEN,
)  # fmt: skip
SCALES_ABOVE, SCALES_BELOW = "scales above", "scales below"
SCALES, A_SCALES = (
    Claim(
        f"{name} learns more from scales than from translations",
        "scales", "translations", *_two_sides(SCALES_ABOVE, SCALES_BELOW), _scale_and_translation(mode), welch,
    )
    for mode, name in (("h-ssl", "H-SSL"), ("a-ssl", "A-SSL"))
)  # fmt: skip
NEAR_ABOVE, NEAR_BELOW = "near pairs above", "near pairs below"
NEAR = Claim(
    "For translations, H-SSL learns more from near pairs than from any",
    "near pairs", "any pairs", *_two_sides(NEAR_ABOVE, NEAR_BELOW), _near_and_any,
)  # fmt: skip
THEORY = (LEARNS, A_LEARNS, SUPERVISED, STRUCTURE, NO_STRUCTURE, FROZEN, A_FROZEN, SCALES, A_SCALES, NEAR)
"""The claims about tables 1 and 2."""
FIGURE2: Mapping[Artefact, Claim] = {
    "figure2-base-space": Claim(
        "Accuracy rises slightly as g0 grows",
        "largest", "smallest", _TREND, _TRENDS, _points("figure2-base-space"), trend, learned=True,
        said="Test accuracy marginally increases as we increase total base space size",
    ),
    "figure2-distance": Claim(
        "Accuracy is constant or falls as g1 and g2 may lie farther apart",
        "farthest", "nearest", _TREND, _TRENDS, _points("figure2-distance"), trend, learned=True,
        said="Test accuracy is constant or decreases as we increase the maximum distance between fiber bundles",
    ),
}  # fmt: skip
"""What the captions of figure 2 say; it has no numbers."""
