"""Sections on the claims: what the theory says, and whether ours are the paper's accuracies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hssl.analysis import claims
from hssl.analysis.claims import MARGIN, SIGNIFICANT, Claim, Needed, Tested
from hssl.analysis.differences import MOST_SEEDS, POWER, interval, signed
from hssl.analysis.entries import TITLES, Entry
from hssl.analysis.summaries import MEASURES, NONE, listed, within_a_sentence
from hssl.paper import numbers as paper
from hssl.paper.studies import FULL_WIDTH
from hssl.report.document import Line, Number, Section, Table, accuracy, apart, p_value
from hssl.report.sections.gains import gains_sentence

HOW = (
    "Runs of one seed share their first weights and the order of their batches: two ways of training one network are "
    "compared seed by seed, by Student's t-test of the differences over the seeds that both have. Different networks, "
    "and the paper's numbers, are compared by Welch's test. Equivalence is shown by two one-sided tests (Schuirmann "
    f"1987) with a margin of {MARGIN:g} points that is fixed in the code. A p-value below {SIGNIFICANT:g} refutes what "
    "its heading says; where there are two directions, p-values are those of a two-sided test. Each measure is a "
    "family of its own: its p-values, of all rows of a table, are corrected for their number by Holm's method; "
    "intervals are 95 %, each for its row alone. Where measures disagree, the claim hangs on how features are read.",
    "Undecided is shown neither way. Seeds to decide: the fewest with which the same tests would reach the verdict "
    f"below the number with {100 * POWER:.0f} % power, if mean and spread over seeds are those observed, at the "
    "smallest level of Holm's correction (0.05 over the number of rows). Few seeds know their spread badly, and so "
    "this number too.",
)
_LEARNS = (
    "What self-supervision is for. On MNIST the readout trains a layer of its own, on random weights too, which need "
    "not be far behind; the other measures have none."
)
_PROBES = ("linear_probe", "knn", "few_labels")
_SCALES = (
    "The caption of table 1: 'often a significant improvement in performance for H-SSL methods when moving from "
    "Translation to generalized groups such as Scale'. The two are different networks, so their runs are not paired."
)
_WHY = {
    claims.LEARNS: _LEARNS,
    claims.A_LEARNS: _LEARNS,
    claims.SUPERVISED: (
        "Labels are the upper end of the scale: supervised minus each other way of training of the row, all of which "
        "must be shown. The difference is the smallest of them. Only the readout is trained with the labels' network; "
        "the other measures read its last features."
    ),
    claims.STRUCTURE: (
        "In an equivariant network both can compare the same pairs of features. For quarter turns they do, and theory "
        "promises the same training (with sampled streams but for BatchNorm's statistics); for translations the two "
        "protocols draw different pairs, and scales are equivariant approximately: there it is what the paper found "
        "(table 1). Equality has a test of its own: two accuracies that are not shown to differ are not thereby "
        "equal. Nor has either thereby learned, which the claims before this one test."
    ),
    claims.NO_STRUCTURE: (
        "Without a homomorphism, what H-SSL takes for two views of an image are unrelated features (table 2)."
    ),
    claims.FROZEN: (
        "To learn nothing is to be no better than the same network with random weights: near it or below. The control "
        "is A-SSL, which does not need the structure: where it is not shown to be better than random weights by the "
        "same test, training was too short to tell, and of 'not better' nothing is concluded."
    ),
    claims.A_FROZEN: "The control of the claim before.",
    claims.SCALES: _SCALES,
    claims.A_SCALES: _SCALES,
    claims.NEAR: (
        "Two far places of an image share little. 'Any pairs' draws g1 and g2 without a limit, as the paper's table "
        "does; near pairs are no farther apart than the recipe's views.max_distance."
    ),
}


def summary(found: Sequence[Entry], budget: str, deviating: bool = False) -> Section | None:
    """The whole report in a few sentences: how often each claim is shown, refuted or open.

    Args:
        found: cells with their runs.
        budget: of the runs.
        deviating: whether some have other settings than their recipes.
    """
    points = []
    for claim in (*claims.THEORY, *claims.FIGURE2.values()):
        if by_measure := claims.by_measure(claim, found):
            where = next((TITLES[of].split(":")[0] + ". " for of, one in claims.FIGURE2.items() if one is claim), "")
            points.append(f"{where}{claim.title}? {counted(claim, by_measure)}")
    raw = [item for item in claims.rows_by(claims.LEARNS, found, "knn_raw") if item.told is not None]
    if raw:
        told = "; ".join(f"{item.row} {interval(item.told)}, {item.verdict}" for item in raw)
        points.append(
            "kNN reads standardised features, as the linear probe does. On raw ones, H-SSL minus frozen in points: "
            f"{told}."
        )
    if wide := full_width(found):
        points.append(wide)
    if rows := claims.against_paper(found):
        verdicts = {words: sum(item.verdict == verdict for item in rows) for verdict, words in _AGAINST_PAPER.items()}
        counts = [f"{number} {words}" for words, number in verdicts.items() if number]
        points.append(f"Of {len(rows)} accuracies that the paper has too: {', '.join(counts)}.")
    if not points:
        return None
    text = [told] if (told := gained(found)) else []
    text.append(
        "An accuracy counts as equal to another where a test shows it, and as different where a test shows that; all "
        "others are undecided, which is no agreement. A test takes two seeds."
    )
    if budget != "paper":
        text.append(
            f"These runs have the {budget} budget: fewer epochs, and mostly fewer images and smaller networks than the "
            "paper's. Their absolute accuracies are not expected to agree with the paper's; what they can show is how "
            "the modes compare with each other."
        )
    if deviating:
        text.append("Some runs have other settings than their recipes; the next section tells which.")
    return Section("In short", tuple(text), tuple(points), note=True)


def gained(found: Sequence[Entry]) -> str:
    """What was gained over random weights in networks with structure, in a sentence or two; empty without runs."""
    return gains_sentence(entry.trained for entry in found if entry.cell.artefact == "table1")


def full_width(found: Sequence[Entry]) -> str:
    """What random weights of the paper's width reach, beside H-SSL of the budget's; empty where that was not run."""
    trained = {e.row: e for e in found if e.cell.artefact == "table1" and e.training == "H-SSL"}
    told = []
    for entry in found:
        if entry.cell.variant != FULL_WIDTH or not entry.records or (beside := trained.get(entry.row)) is None:
            continue
        wide, narrow = (
            " / ".join("–" if (value := of.measured(name)) is None else f"{value.mean:.1f}" for name in _PROBES)
            for of in (entry, beside)
        )
        told.append(f"{entry.row} {wide} (H-SSL {narrow})")
    if not told:
        return ""
    by = " / ".join(map(within_a_sentence, _PROBES))
    return (
        "Random weights of the paper's full width, beside H-SSL at this budget's width, in the mean by "
        f"{by}: {'; '.join(told)}."
    )


def counted(claim: Claim, by_measure: Mapping[str, Sequence[Tested]]) -> str:
    """'Readout (−0.4 to +0.6 points): undecided in 3 of 3 rows (9 to 34 seeds would decide); Linear probe and kNN ...'.

    Measures that count alike are told together, with the range of all their differences.
    """
    alike: dict[str, list[str]] = {}
    for measure, rows in by_measure.items():
        (first, number), *others = claims.count(rows).items()
        verdicts = [f"{first} in {number} of {len(rows)} row{'' if len(rows) == 1 else 's'}"]
        verdicts += [f"{verdict} in {number}" for verdict, number in others]
        alike.setdefault(", ".join(verdicts), []).append(measure)
    parts = []
    for told, measures in alike.items():
        rows = [item for measure in measures for item in by_measure[measure]]
        by = listed([MEASURES[measures[0]], *map(within_a_sentence, measures[1:])])
        wanted = [seeds for item in rows if (seeds := claims.needed(claim, item)) is not None]
        parts.append(f"{by}{_range(rows)}: {told}{_seeds_wanted(wanted)}")
    return f"{'; '.join(parts)}."


def _range(rows: Sequence[Tested]) -> str:
    means = [item.told.mean for item in rows if item.told is not None]
    if not means:
        return ""
    ends = dict.fromkeys(f"{end:+z.1f}" for end in (min(means), max(means)))
    return signed(f" ({' to '.join(ends)} points)")


def _seeds_wanted(wanted: Sequence[Needed]) -> str:
    if not wanted:
        return ""
    numbers = sorted(MOST_SEEDS + 1 if one.seeds is None else one.seeds for one in wanted)
    ends = dict.fromkeys(f"more than {MOST_SEEDS}" if n > MOST_SEEDS else str(n) for n in (numbers[0], numbers[-1]))
    return f" ({' to '.join(ends)} seeds would decide)"


def theory(found: Sequence[Entry]) -> Section | None:
    """Each claim of the theory in each row of its table, and the same test of the paper's own numbers."""
    parts = [
        Section(claim.title, (_WHY[claim],), tables=(claim_table(claim, found, f"claim{number}"),))
        for number, claim in enumerate(claims.THEORY, 1)
        if claims.by_measure(claim, found)
    ]
    return Section("What the theory says, tested", HOW, parts=tuple(parts)) if parts else None


def claim_table(claim: Claim, found: Sequence[Entry], name: str, caption: str = "", minus: str = "") -> Table:
    """A line for each row and measure: the difference, its tests, the verdict, and what would decide it.

    Args:
        claim: of the theory, or of figure 2.
        found: cells with their runs.
        name: the table's own.
        caption: how it is read.
        minus: what the difference is called, where it is no subtraction.
    """
    theirs = claims.papers_own(claim, found)
    by_measure = claims.by_measure(claim, found)
    items = {(item.row, measure): item for measure, rows in by_measure.items() for item in rows}
    lines: list[Line] = []
    for row in dict.fromkeys(row for row, _ in items):
        for measure in by_measure:
            if (item := items.get((row, measure))) is None:
                continue
            line: Line = (*_tests(item, len(claim.hypotheses)), item.verdict, _needed(claims.needed(claim, item)))
            own = [_with_verdict(theirs.get(row) if measure == "readout" else None)] if theirs else []
            lines.append((row, MEASURES[measure], *line, *own))
    headings = ("Row", "Measure", minus or f"{_capital(claim.one)} − {claim.other} (95 %)")
    tests = (f"p: {test.name}" for test in claim.hypotheses)
    ends = ("Verdict", "Seeds to decide", *(["In the paper"] if theirs else []))
    return Table(name, (*headings, *tests, *ends), tuple(lines), caption, names=2)


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
        f"our readout's by Welch's test, all {len(rows)} accuracies as one family, its ± taken as a sample standard "
        f"deviation of {paper.RUNS} runs. It does not say which deviation it is, and prints one decimal: a verdict "
        f"whose p-value is near {SIGNIFICANT:g} may hang on that."
    )
    points = []
    for verdict, words in _AGAINST_PAPER.items():
        if there := [item for item in rows if item.verdict == verdict]:
            points.append(f"{len(there)} {words}: {_named(there)}.")
    return Section("Our accuracies and the paper's", (text,), tuple(points), tables=(_paper(rows),))


def _paper(rows: Sequence[Tested]) -> Table:
    tests = (f"p: {test.name}" for test in claims.PAPER.hypotheses)
    headings = ("Row", "Ours", "Paper", "Ours − paper", *tests, "Verdict")
    lines: list[Line] = []
    for item in rows:
        difference, *p = _tests(item, len(claims.PAPER.hypotheses), counted=False)
        lines.append((item.row, *map(accuracy, item.values), difference, *p, item.verdict))
    return Table("agreement", headings, tuple(lines), folded=f"All {len(rows)} accuracies with their tests")


def _tests(item: Tested, tests: int, counted: bool = True) -> tuple[Number, ...]:
    told = apart(item.told)
    if item.told is None:
        return (told, *(p_value(None) for _ in range(tests)))
    return (Number(told.text, told.value, f"n {item.told.count}" if counted else ""), *map(p_value, item.p))


def _needed(item: Needed | None) -> Number:
    if item is None:
        return Number(NONE)
    if item.seeds is None:
        return Number(f"more than {MOST_SEEDS}", MOST_SEEDS + 1)
    return Number(str(item.seeds), item.seeds, below=(item.verdict,))


def _with_verdict(item: Tested | None) -> Number:
    if item is None or item.told is None:
        return Number(NONE)
    return Number(interval(item.told), item.told.mean, below=(item.verdict,))


def _named(items: Sequence[Tested]) -> str:
    """'MNIST · scale · SESN: A-SSL (−5.9), H-SSL (−5.7); ...', a row of the tables once."""
    by_row: dict[str, list[str]] = {}
    for item in items:
        row, mode = item.row.split(": ", 1)
        by = "" if item.told is None else signed(f" ({item.told.mean:+z.1f})")
        by_row.setdefault(row, []).append(mode + by)
    return "; ".join(f"{row}: {', '.join(modes)}" for row, modes in by_row.items())


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
