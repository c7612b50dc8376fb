"""Sections on the claims: what the theory says, and whether ours are the paper's accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hssl.experiments import claims, paper
from hssl.experiments.blocks import Line, Number, Section, Table, accuracy, apart, p_value, signed
from hssl.experiments.claims import MARGIN, SIGNIFICANT, Claim, Tested
from hssl.experiments.entries import TITLES, Entry
from hssl.experiments.tables import NONE

HOW = (
    "Welch's t-test; equivalence by two one-sided tests (Schuirmann 1987) with a margin of "
    f"{MARGIN:g} points that is fixed in the code. A p-value below {SIGNIFICANT:g} refutes what its heading says. "
    "The p-values of a column are corrected for their number by Holm's method; intervals are 95 %, each for its row "
    "alone. Undecided is shown neither way: the runs are too few or spread too far. Accuracies are those of the "
    "readout, the paper's measure; the same tests by linear probe and kNN stand below, and where they disagree the "
    "claim hangs on how features are read."
)


_WHY = {
    claims.STRUCTURE: (
        "In an equivariant network both can compare the same pairs of features. For quarter turns they do, and theory "
        "promises the same training (with sampled streams but for BatchNorm's statistics); for translations the two "
        "protocols draw different pairs, and scales are equivariant approximately: there it is what the paper found "
        "(table 1). Equality has a test of its own: two accuracies that are not shown to differ are not thereby "
        "equal. Nor has either thereby learned: whether they are better than random weights is the next question."
    ),
    claims.LEARNS: (
        "What self-supervision is for. Beside it the same test of A-SSL. On MNIST the readout trains a layer of its "
        "own, on random weights too, which need not be far behind; the linear probe has none."
    ),
    claims.NO_STRUCTURE: (
        "Without a homomorphism, what H-SSL takes for two views of an image are unrelated features (table 2). The "
        "p-values are two-sided."
    ),
    claims.FROZEN: (
        "To learn nothing is to be no better than the same network with random weights. The paper finds the two "
        "similar; an accuracy far below frozen is no learning either. The control is A-SSL, which does not need the "
        "structure: where it is not shown to be better than random weights by the same test, training was too short "
        "to tell, and nothing is concluded."
    ),
}


def summary(found: Sequence[Entry], budget: str, deviating: bool = False) -> Section | None:
    """The whole report in a few sentences: how often each claim is shown, refuted or open.

    Args:
        found: cells with their runs.
        budget: of the runs.
        deviating: whether some have other settings than their recipes.
    """
    points = [
        f"{claim.title}? {counted(rows)}{_no_better(claim, rows, found)}{_otherwise(claim, rows, found)}"
        for claim, rows in claims.of_theory(found)
        if rows
    ]
    for artefact, claim in claims.FIGURE2.items():
        if rows := claims.figure2(artefact, found):
            points.append(f"{TITLES[artefact].split(':')[0]}. {claim.title}? {counted(rows)}")
    if rows := claims.against_paper(found):
        told = {words: sum(item.verdict == verdict for item in rows) for verdict, words in _AGAINST_PAPER.items()}
        counts = [f"{number} {words}" for words, number in told.items() if number]
        points.append(f"Of {len(rows)} accuracies that the paper has too: {', '.join(counts)}.")
    if points:
        points.append(
            "All of these are of the readout; of linear probe and kNN only what they decide and the readout does not."
        )
    if not points:
        return None
    text = [
        "An accuracy counts as equal to another where a test shows it, and as different where a test shows that; all "
        "others are undecided, which is no agreement. A test takes two runs of each."
    ]
    if budget != "paper":
        text.append(
            f"These runs have the {budget} budget: fewer epochs, and mostly fewer images and smaller networks than the "
            "paper's. Their absolute accuracies are not expected to agree with the paper's; what they can show is how "
            "the modes compare with each other."
        )
    if deviating:
        text.append("Some runs have other settings than their recipes; the next section tells which.")
    return Section("In short", tuple(text), tuple(points), note=True)


def _no_better(claim: Claim, rows: Sequence[Tested], found: Sequence[Entry]) -> str:
    """Of rows where two trainings are equal, how many are no better than none."""
    if claim is not claims.STRUCTURE:
        return ""
    better = (claims.LEARNED, claims.LITTLE_LEARNED)
    learned = {
        item.row: item.verdict in better or (item.control is not None and item.control.verdict in better)
        for item in claims.learns(found)
    }
    equal = [item.row for item in rows if item.verdict in (claims.EQUAL, claims.CLOSE)]
    without = sum(not learned[row] for row in equal if row in learned)
    return f" In {without} of the equal rows neither is shown to be better than random weights." if without else ""


def _otherwise(claim: Claim, rows: Sequence[Tested], found: Sequence[Entry]) -> str:
    """Measures that decide a row in which the readout decides nothing, or something else."""
    verdicts = {item.row: item.verdict for item in rows}
    told = ""
    for measure, tested in claims.by_other_measures(claim, found).items():
        others = [item for item in tested.values() if item.row in verdicts]
        if any(item.verdict not in (*claims.OPEN, verdicts[item.row]) for item in others):
            words = counted(others)
            told += f" By {measure}: {words if words.startswith('H-SSL') else words[0].lower() + words[1:]}"
    return told


def theory(found: Sequence[Entry]) -> Section | None:
    """Each claim of the theory in each row of its table, and the same test of the paper's own numbers."""
    parts = [
        _claim(claim, rows, found, f"claim{number}")
        for number, (claim, rows) in enumerate(claims.of_theory(found), 1)
        if rows
    ]
    return Section("What the theory says, tested", (HOW,), parts=tuple(parts)) if parts else None


_AGAINST_PAPER = {
    claims.EQUAL: f"shown to agree to within {MARGIN:g} points",
    claims.CLOSE: f"shown to agree to within {MARGIN:g} points and yet to differ, by less",
    claims.DIFFERENT: "shown to differ",
    claims.UNDECIDED: "undecided (too few runs, or too wide a spread)",
    claims.UNTESTED: "not tested (fewer than two runs)",
}


def agreement(found: Sequence[Entry]) -> Section | None:
    """Which of our accuracies are shown to be the paper's, and which are shown to differ."""
    rows = claims.against_paper(found)
    if not rows:
        return None
    text = (
        f"The paper prints mean and standard deviation of {paper.RUNS} runs with one decimal. They are tested against "
        f"ours as above, all {len(rows)} accuracies as one family, its ± taken as a sample standard deviation of "
        f"{paper.RUNS} runs. It does not say which deviation it is, and prints one decimal: a verdict whose p-value is "
        f"near {SIGNIFICANT:g} may hang on that."
    )
    points = []
    for verdict, words in _AGAINST_PAPER.items():
        if there := [item for item in rows if item.verdict == verdict]:
            points.append(f"{len(there)} {words}: {_named(there)}.")
    return Section("Our accuracies and the paper's", (text,), tuple(points), tables=(_paper(rows),))


def counted(rows: Sequence[Tested]) -> str:
    """'Different in 1 of 8 rows, undecided in 7.': what was decided comes first."""
    several = f" of {len(rows)} rows" if len(rows) > 1 else " of 1 row"
    open_last = sorted(claims.count(rows).items(), key=lambda item: item[0] in claims.OPEN)
    told = [f"{verdict} in {number}" for verdict, number in open_last]
    return _capital(", ".join([told[0] + several, *told[1:]])) + "."


def _claim(claim: Claim, rows: Sequence[Tested], found: Sequence[Entry], name: str) -> Section:
    theirs = claims.papers_own(claim, found)
    minus = f"{_capital(claim.one)} − {claim.other}"
    headings = [_capital(claim.one), _capital(claim.other), minus, *(f"p: {test}" for test in claim.hypotheses)]
    controlled = any(item.control is not None for item in rows)
    lines: list[Line] = []
    for item in rows:
        told = _measured(item, counts=False)
        if controlled:  # beside another test there is no room for what the tables tell
            told = (*told[2:], _with_verdict(item.control))
        lines.append((item.row, *told, item.verdict, _with_verdict(theirs.get(item.row))))
    if controlled:
        headings = [*headings[2:], "A-SSL − frozen"]
    table = Table(name, ("Row", *headings, "Verdict", "In the paper"), tuple(lines))
    others = claims.by_other_measures(claim, found)
    by_others: list[Line] = [
        (item.row, _with_verdict(item), *(_with_verdict(tested.get(item.row)) for tested in others.values()))
        for item in rows
    ]
    measures = Table(
        f"{name}-measures",
        ("Row", "Readout", *(_capital(measure) if measure != "kNN" else measure for measure in others)),
        tuple(by_others),
        f"{minus}, with its 95 % interval and the verdict.",
        folded="By linear probe and kNN",
    )
    return Section(claim.title, (_WHY[claim],), tables=(table, measures))


def _with_verdict(item: Tested | None) -> Number:
    if item is None:
        return Number(NONE)
    return Number(_interval(item), None if item.told is None else item.told.mean, below=(item.verdict,))


def _paper(rows: Sequence[Tested]) -> Table:
    headings = ("Row", "Ours", "Paper", "Ours − paper", *(f"p: {test}" for test in claims.PAPER.hypotheses), "Verdict")
    lines: tuple[Line, ...] = tuple((item.row, *_measured(item), item.verdict) for item in rows)
    return Table("agreement", headings, lines, folded=f"All {len(rows)} accuracies with their tests")


def _measured(item: Tested, counts: bool = True) -> tuple[Number, ...]:
    p = item.p or (None, None)
    pair = [accuracy(item.one), accuracy(item.other)]
    # Where table 1 or 2 tells how many runs there are, the line is short without them.
    one, other = pair if counts else (replace(number, detail="") for number in pair)
    return (one, other, apart(item.told), *(p_value(value) for value in p))


def _interval(item: Tested) -> str:
    return apart(item.told).text


def _named(items: Sequence[Tested]) -> str:
    """'MNIST · scale · SESN: A-SSL (−5.9), H-SSL (−5.7); ...', a row of the tables once."""
    by_row: dict[str, list[str]] = {}
    for item in items:
        row, mode = item.row.rsplit(", ", 1)
        by_row.setdefault(row, []).append(mode + _by(item))
    return "; ".join(f"{row}: {', '.join(modes)}" for row, modes in by_row.items())


def _by(item: Tested) -> str:
    return "" if item.told is None else signed(f" ({item.told.mean:+z.1f})")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
