"""What the theory says is tested, not judged by eye: gaps are found, noise is undecided, equality is shown."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from fakes.grid import SEEDS, grid
from hssl.analysis import claims
from hssl.analysis.chance import chance_loss
from hssl.analysis.claims import (
    FROZEN,
    LEARNS,
    MARGIN,
    NEAR,
    NO_STRUCTURE,
    SCALES,
    STRUCTURE,
    SUPERVISED,
    Claim,
    Sides,
    assess,
    needed,
    rows_by,
)
from hssl.analysis.entries import PAPERS, Entry, entries
from hssl.analysis.summaries import MEASURES, Summary, summarise
from hssl.runs.record import RunRecord


def row(*sides: list[float], name: str = "row") -> Sides:
    return Sides(name, tuple(summarise(dict(enumerate(side))) for side in sides))


@pytest.mark.parametrize(
    ("claim", "one", "other", "verdict"),
    [
        (STRUCTURE, [90.0, 90.2, 90.1], [98.0, 98.4, 98.2], claims.DIFFERENT),
        (STRUCTURE, [98.1, 98.3, 98.0], [98.0, 98.4, 98.2], claims.EQUAL),
        (STRUCTURE, [97.00, 97.02, 96.98], [98.0, 98.02, 97.97], claims.CLOSE),
        (STRUCTURE, [70.0, 99.0, 85.0], [98.0, 98.4, 98.2], claims.UNDECIDED),
        # The means agree and nobody knows: that is no agreement.
        (STRUCTURE, [88.0, 98.0, 93.0], [96.0, 90.0, 93.0], claims.UNDECIDED),
        (STRUCTURE, [98.0], [98.0, 98.1, 98.2], claims.UNTESTED),
        (NO_STRUCTURE, [87.0, 86.0, 88.5], [95.1, 95.3, 95.2], claims.BELOW),
        (NO_STRUCTURE, [95.1, 95.3, 95.2], [87.0, 86.0, 88.5], claims.AHEAD),
        (NO_STRUCTURE, [80.0, 99.0, 88.5], [95.1, 90.3, 97.2], claims.UNDECIDED),
        (FROZEN, [87.0, 87.3, 87.1], [87.2, 87.4, 87.1], claims.NOTHING_LEARNED),
        (FROZEN, [58.0, 58.3, 58.1], [83.0, 83.4, 82.1], claims.WORSE),
        (FROZEN, [95.0, 95.3, 95.1], [83.0, 83.4, 83.1], claims.LEARNED),
        (FROZEN, [84.0, 84.1, 83.9], [83.0, 83.2, 82.9], claims.LITTLE_LEARNED),
        (FROZEN, [70.0, 95.0, 83.0], [83.0, 83.4, 82.1], claims.UNDECIDED),
        (SCALES, [98.0, 98.4, 98.2], [90.0, 90.2, 90.1], claims.SCALES_ABOVE),
        (NEAR, [80.0, 80.4, 80.2], [90.0, 90.2, 90.1], claims.NEAR_BELOW),
    ],
)
def test_a_verdict_says_what_was_shown(claim: Claim, one: list[float], other: list[float], verdict: str) -> None:
    (item,) = assess(claim, [row(one, other)])
    assert item.verdict == verdict
    assert (item.told is None) == (verdict == claims.UNTESTED)


def test_the_numbers_are_paired_and_corrected_over_the_rows() -> None:
    pairs = [([91.0, 92.5, 90.4], [88.1, 89.9, 87.0]), ([91.0, 92.5, 90.4], [91.5, 92.9, 90.6])]
    items = assess(STRUCTURE, [row(*pair) for pair in pairs])
    theirs = [stats.ttest_rel(*pair).pvalue for pair in pairs]
    place = int(np.argmin(theirs))
    assert items[place].p[0] == pytest.approx(2 * theirs[place])  # Holm: the smallest of two, twice
    assert items[1 - place].p[0] == pytest.approx(max(theirs[1 - place], 2 * theirs[place]))
    alone = assess(STRUCTURE, [row(*pairs[0])])[0]
    assert alone.p[0] == pytest.approx(theirs[0])
    # Different networks are no pairs, though they share their seeds.
    (scales,) = assess(SCALES, [row(*pairs[0])])
    assert scales.p[0] == pytest.approx(stats.ttest_ind(*pairs[0], equal_var=False).pvalue)


def test_pairs_decide_what_the_spread_over_seeds_leaves_open() -> None:
    """Seeds four points apart, modes a tenth: equal by pairs; with the pairs lost, undecided."""
    one, other = [88.0, 92.0, 96.0, 90.0, 94.0], [88.1, 91.9, 96.1, 90.2, 93.9]
    (together,), (shuffled,) = (assess(STRUCTURE, [row(one, side)]) for side in (other, [*other[1:], other[0]]))
    assert together.verdict == claims.EQUAL
    assert shuffled.verdict == claims.UNDECIDED
    welchs = assess(dataclasses.replace(STRUCTURE, compare=claims.welch), [row(one, other)])
    assert welchs[0].verdict == claims.UNDECIDED


def test_rows_that_cannot_be_tested_cost_the_others_nothing() -> None:
    good = row([91.0, 92.5, 90.4], [88.1, 89.9, 87.0])
    (alone,) = assess(STRUCTURE, [good])
    items = assess(STRUCTURE, [row([90.0], [91.0, 92.0]), good, row([90.0, 90.0], [91.0, 91.0])])
    assert [item.verdict for item in items[::2]] == [claims.UNTESTED] * 2
    assert items[1] == alone


def test_false_alarms_are_rare_in_a_family() -> None:
    chance = np.random.default_rng(0)
    same = [_family(chance, 0.0) for _ in range(200)]
    assert np.mean([any(v in (claims.DIFFERENT, claims.CLOSE) for v in found) for found in same]) <= 0.08
    # Rows that differ by the margin are called equal as rarely.
    apart = [_family(chance, MARGIN) for _ in range(200)]
    assert np.mean([any(v in (claims.EQUAL, claims.CLOSE) for v in found) for found in apart]) <= 0.08
    # The controls: a large gap is found, and equal rows of little spread are called equal.
    far = [_family(chance, 8.0, spread=0.3) for _ in range(50)]
    assert np.mean([found.count(claims.DIFFERENT) / len(found) for found in far]) > 0.8
    equal = [_family(chance, 0.0, spread=0.05) for _ in range(50)]
    assert np.mean([(found.count(claims.EQUAL) + found.count(claims.CLOSE)) / len(found) for found in equal]) > 0.95


def _family(chance: np.random.Generator, gap: float, spread: float = 0.7) -> list[str]:
    """Rows whose seeds differ by four points and more, and whose modes differ by the gap and the spread."""
    rows = []
    for number in range(8):
        of_seeds = chance.normal(90, 4, 3)
        sides = [list(of_seeds + chance.normal(by, spread, 3)) for by in (gap, 0)]
        rows.append(row(*sides, name=f"row {number}"))
    return [item.verdict for item in assess(STRUCTURE, rows)]


def readout(claim: Claim, found: list[Entry]) -> list[claims.Tested]:
    return rows_by(claim, found, "readout")


def test_claims_are_of_the_tables_rows(tmp_path: Path) -> None:
    found = entries(grid(tmp_path, SEEDS))
    rows = {claim: readout(claim, found) for claim in claims.THEORY}
    assert [item.row for item in rows[STRUCTURE]] == [item.row for item in rows[LEARNS]] == ["MNIST · scale · SESN"]
    assert [item.row for item in rows[NO_STRUCTURE]] == [item.row for item in rows[FROZEN]]
    controls = ["MNIST · scale · CNN (6 x CHW)", "MNIST · scale · CNN (6 x CHW), shared trunk"]
    assert [item.row for item in rows[FROZEN]] == controls
    assert [item.row for item in rows[SUPERVISED]] == ["MNIST · scale · SESN", *controls]
    assert rows[SCALES] == rows[NEAR] == []
    (structure,), (without, _) = rows[STRUCTURE], rows[NO_STRUCTURE]
    assert structure.values == (summarise(SEEDS["mnist-scale-hssl"]), summarise(SEEDS["mnist-scale-assl"]))
    assert (structure.verdict, without.verdict) == (claims.EQUAL, claims.BELOW)
    theirs = claims.papers_own(STRUCTURE, found)[structure.row]
    assert theirs.values[0] == Summary(98.3, 0.2, 3)
    assert theirs.p[0] == pytest.approx(stats.ttest_ind_from_stats(98.3, 0.2, 3, 98.6, 0.1, 3, equal_var=False).pvalue)
    assert claims.papers_own(NO_STRUCTURE, found)[without.row].verdict == claims.BELOW


def test_every_claim_is_tested_by_every_measure(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS)
    found = entries(records)
    for claim in (STRUCTURE, LEARNS, SUPERVISED, NO_STRUCTURE, FROZEN, claims.FIGURE2["figure2-base-space"]):
        by_measure = claims.by_measure(claim, found)
        assert by_measure.keys() == MEASURES.keys()
        for measure, items in by_measure.items():
            for item in items:
                first = next(iter(claim.rows(found)[item.row]))
                assert item.values[0] == first.measured(measure)
    # A measure that older records do not have is none.
    old = {
        name: record.model_copy(update={"evaluation": record.evaluation.model_copy(update={"few_labels": None})})
        for name, record in records.items()
    }
    assert "few_labels" not in claims.by_measure(STRUCTURE, entries(old))


def test_supervised_is_above_all_where_it_is_above_each(tmp_path: Path) -> None:
    above = {"mnist-scale-supervised": [99.3, 99.4, 99.2], "mnist-scale-assl": [97.0, 97.4, 97.3],
             "mnist-scale-hssl": [97.1, 97.0, 97.2], "mnist-scale-frozen": [80.0, 81.0, 80.2]}  # fmt: skip
    item, *_ = readout(SUPERVISED, entries(grid(tmp_path / "above", SEEDS | above)))
    assert item.verdict == claims.ABOVE_ALL
    assert item.told is not None
    assert item.told.mean == pytest.approx(
        np.mean(above["mnist-scale-supervised"]) - np.mean(above["mnist-scale-assl"])
    )
    # One that is as high is enough to leave it open, one that is higher to refute it.
    as_high = above | {"mnist-scale-hssl": [99.4, 99.2, 99.3]}
    assert readout(SUPERVISED, entries(grid(tmp_path / "as", SEEDS | as_high)))[0].verdict == claims.UNDECIDED
    higher = above | {"mnist-scale-frozen": [99.9, 99.95, 99.9]}
    assert readout(SUPERVISED, entries(grid(tmp_path / "higher", SEEDS | higher)))[0].verdict == "below another"


def test_scales_are_compared_with_translations_of_the_same_data(tmp_path: Path) -> None:
    accuracies = {"mnist-scale-hssl": [98.0, 98.2, 98.4], "mnist-translation-hssl": [90.0, 90.3, 91.0]}
    of = (["table1"], ["mnist"], ["scale", "translation"])
    found = entries(grid(tmp_path, accuracies, of=of))
    (item,) = readout(SCALES, found)
    assert (item.row, item.verdict) == ("MNIST", claims.SCALES_ABOVE)
    expected = stats.ttest_ind(*accuracies.values(), equal_var=False).pvalue
    assert item.p[0] == pytest.approx(expected)
    assert [len(readout(claim, found)) for claim in (SCALES, claims.A_SCALES)] == [1, 1]
    assert rows_by(SCALES, found, PAPERS)[0].verdict == claims.UNDECIDED


def test_near_pairs_are_compared_with_any(tmp_path: Path) -> None:
    accuracies = {"mnist-translation-hssl": [90.0, 90.3, 91.0], "mnist-translation-assl": [70.0, 70.1, 70.3],
                  "mnist-translation-hssl-any-distance": [80.0, 80.1, 80.3]}  # fmt: skip
    found = entries(grid(tmp_path, accuracies, of=(["table1"], ["mnist"], ["translation"])))
    (item,) = readout(NEAR, found)
    assert item.verdict == claims.NEAR_ABOVE
    assert item.p[0] == pytest.approx(
        stats.ttest_rel(accuracies["mnist-translation-hssl"], accuracies["mnist-translation-hssl-any-distance"]).pvalue
    )
    # It is no side of the other claims.
    near = [entry for entry in found if entry.cell.variant is None]
    assert len(near) == len(found) - 1
    assert readout(NEAR, near) == []
    for claim in (STRUCTURE, LEARNS, SUPERVISED):
        assert [item.values[:2] for item in readout(claim, near)] == [item.values[:2] for item in readout(claim, found)]


def test_ours_are_tested_against_the_papers(tmp_path: Path) -> None:
    paper = {"mnist-scale-assl": [98.5, 98.6, 98.7], "mnist-scale-hssl": [70.0, 70.1, 70.3],
             "mnist-scale-frozen": [80.0, 99.0, 95.0]}  # fmt: skip
    told = {item.row: item.verdict for item in claims.against_paper(entries(grid(tmp_path, paper)))}
    assert len(told) == 12
    assert told["MNIST · scale · SESN: A-SSL"] == claims.EQUAL
    assert told["MNIST · scale · SESN: H-SSL"] == claims.DIFFERENT
    assert told["MNIST · scale · SESN: Frozen"] == claims.UNDECIDED


def test_a_sentence_has_the_numbers(tmp_path: Path) -> None:
    (item,) = readout(STRUCTURE, entries(grid(tmp_path, SEEDS)))
    said = claims.sentence(STRUCTURE, item)
    assert f"p = {item.p[0]:.2f} for 'equal'" in said
    assert said.startswith("MNIST · scale · SESN: H-SSL - A-SSL")
    assert said.endswith("equal within 2 points.")


def test_one_run_proves_nothing(tmp_path: Path) -> None:
    (item,) = readout(STRUCTURE, entries(grid(tmp_path, SEEDS, seeds=1)))
    assert item.verdict == claims.UNTESTED
    assert "is not tested" in claims.sentence(STRUCTURE, item)
    assert needed(STRUCTURE, item) is None


def test_what_would_decide_an_undecided_row() -> None:
    """Experiments of as many seeds as are said to be needed decide, as said, in four of five cases or more."""
    observed = row([91.0, 92.5, 90.4, 92.2], [90.9, 89.2, 90.0, 90.4])
    (item,) = assess(LEARNS, [observed])
    wanted = needed(LEARNS, item)
    assert item.told is not None
    assert wanted is not None
    assert wanted.seeds is not None
    assert wanted.verdict == claims.LEARNED
    spread = item.told.error * item.told.count**0.5
    chance = np.random.default_rng(0)

    def decided(seeds: int) -> float:
        verdicts = []
        for _ in range(400):
            apart = chance.normal(item.told.mean, spread, seeds)  # type: ignore[union-attr]
            (again,) = assess(LEARNS, [row(list(90 + apart), [90.0] * seeds)])
            verdicts.append(again.verdict in (claims.LEARNED, claims.LITTLE_LEARNED))
        return float(np.mean(verdicts))

    assert decided(wanted.seeds) > 0.74
    assert decided(max(2, wanted.seeds // 2)) < 0.74
    # A row among several has to pass a smaller level.
    (among, *_) = assess(LEARNS, [observed, row([90.0, 91.0], [90.1, 91.3]), row([90.0, 91.0], [90.2, 91.1])])
    more = needed(LEARNS, among)
    assert more is not None
    assert more.seeds is None or more.seeds > wanted.seeds


def test_decided_rows_need_no_seeds_and_hopeless_ones_more_than_any() -> None:
    (equal,) = assess(STRUCTURE, [row([98.1, 98.3, 98.0], [98.0, 98.4, 98.2])])
    assert needed(STRUCTURE, equal) is None
    # Exactly between equal and different: no number of seeds is likely to show either.
    (wild,) = assess(NO_STRUCTURE, [row([80.0, 99.0, 88.5], [99.1, 80.3, 88.2])])
    assert needed(NO_STRUCTURE, wild) == (None, claims.BELOW) or needed(NO_STRUCTURE, wild) == (None, claims.AHEAD)


ALL = "mnist-scale-hssl-all-streams"
NOISE = ([0.0, 0.1, -0.1], [0.05, 0.0, -0.06], [-0.1, 0.0, 0.1], [0.0, -0.04, 0.06], [0.02, 0.03, -0.05])


def of_places(means: list[float]) -> dict[str, list[float]]:
    """Runs at five places, their seeds two points apart, that scatter by a tenth besides."""
    runs = [ALL, *(f"{ALL}-base-{extent}" for extent in range(2, 6))]
    return {
        run: [mean + 2 * seed - 2 + noise[seed] for seed in range(3)]
        for run, mean, noise in zip(runs, means, NOISE, strict=True)
    }


def base_space(records: dict[str, RunRecord]) -> list[claims.Tested]:
    return readout(claims.FIGURE2["figure2-base-space"], entries(records))


@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ([90, 91, 93, 94, 95], claims.RISES),
        ([95, 94, 93, 91, 90], claims.FALLS),
        ([93, 93.1, 93, 92.9, 93], claims.CONSTANT),
        ([90, 92, 93.5, 92, 90], claims.UNDECIDED),  # a hump
        ([93, 93.1, 93.3, 93.5, 93.6], f"{claims.RISES}, by under 2 points"),
    ],
)
def test_figure_2_is_told_by_the_trend_of_its_points(tmp_path: Path, means: list[float], verdict: str) -> None:
    (item,) = base_space(grid(tmp_path, of_places(means)))
    assert item.verdict == verdict
    assert item.told is not None
    assert item.told.mean == pytest.approx(4 * np.polyfit(range(5), means, 1)[0], abs=0.2)


def test_points_that_scatter_show_no_trend(tmp_path: Path) -> None:
    runs = [ALL, *(f"{ALL}-base-{extent}" for extent in range(2, 6))]
    accuracies = {
        run: values
        for run, values in zip(runs, ([88.0, 95.0, 91.0], [95.0, 89.0, 92.0], [91.0, 90.0, 96.0]) * 2, strict=False)
    }
    (item,) = base_space(grid(tmp_path, accuracies))
    assert item.verdict == claims.UNDECIDED


@pytest.mark.parametrize(
    ("means", "learned", "untrained"),
    [([93, 93.1, 93, 92.9, 93], claims.CONSTANT, claims.UNTRAINED), ([95, 94, 93, 91, 90], claims.FALLS, claims.FALLS)],
)
def test_networks_that_learned_nothing_are_not_thereby_constant(
    tmp_path: Path, means: list[float], learned: str, untrained: str
) -> None:
    records = grid(tmp_path, of_places(means))
    assert base_space(records)[0].verdict == learned
    stuck_at_one_place = {
        name: _at_chance(record) if name.startswith(f"{ALL}-base-3-") else record for name, record in records.items()
    }
    assert base_space(stuck_at_one_place)[0].verdict == untrained


def test_single_runs_have_no_trend(tmp_path: Path) -> None:
    (item,) = readout(claims.FIGURE2["figure2-distance"], entries(grid(tmp_path, SEEDS, seeds=1)))
    assert item.verdict == claims.UNTESTED


def test_the_trends_of_all_rows_are_one_family(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS, of=(["figure2-base-space"], ["mnist"], ["scale", "rotation"]))
    both = base_space(records)
    claim = claims.FIGURE2["figure2-base-space"]
    alone = [readout(claim, [e for e in entries(records) if e.row == item.row])[0] for item in both]
    for place in range(3):
        smallest, largest = sorted(item.p[place] for item in alone)
        expected = min(1, 2 * smallest), max(min(1, 2 * smallest), largest)
        assert sorted(item.p[place] for item in both) == pytest.approx(expected)


TABLE2 = {"mnist-scale-cnn-assl": [94.8, 95.0, 95.2], "mnist-scale-cnn-hssl": [86.8, 87.1, 87.1],
          "mnist-scale-cnn-frozen": [86.9, 87.0, 87.3]}  # fmt: skip


def test_nothing_learned_takes_a_control_that_learns(tmp_path: Path) -> None:
    found = entries(grid(tmp_path / "learns", SEEDS | TABLE2))
    (item, _), (control, _) = readout(FROZEN, found), readout(claims.A_FROZEN, found)
    assert (item.verdict, control.verdict) == (claims.NOTHING_LEARNED, claims.LEARNED)
    assert item.values == tuple(summarise(TABLE2[f"mnist-scale-cnn-{mode}"]) for mode in ("hssl", "frozen"))
    assert control.values == tuple(summarise(TABLE2[f"mnist-scale-cnn-{mode}"]) for mode in ("assl", "frozen"))
    short = TABLE2 | {"mnist-scale-cnn-assl": [87.0, 87.2, 87.2]}
    item, _ = readout(FROZEN, entries(grid(tmp_path / "short", SEEDS | short)))
    assert item.verdict == claims.NO_CONTROL
    learned = TABLE2 | {"mnist-scale-cnn-hssl": [93.0, 93.1, 93.2]}
    item, _ = readout(FROZEN, entries(grid(tmp_path / "learned", SEEDS | learned)))
    assert item.verdict == claims.LEARNED


def test_ours_are_tested_against_the_papers_as_one_family(tmp_path: Path) -> None:
    found = claims.against_paper(entries(grid(tmp_path, SEEDS | TABLE2)))
    assert len(found) == 12
    (item,) = (item for item in found if item.row == "MNIST · scale · CNN (6 x CHW): A-SSL")
    assert item.values == (summarise(TABLE2["mnist-scale-cnn-assl"]), Summary(95.2, 0.1, 3))
    alone = [stats.ttest_ind_from_stats(one.mean, one.std, 3, other.mean, other.std, 3, equal_var=False).pvalue
             for one, other in (item.values for item in found) if one is not None and other is not None]  # fmt: skip
    for place, p in enumerate(sorted(alone)):
        (there,) = (i for i, own in zip(found, alone, strict=True) if own == p)
        assert there.p[0] >= min(1, (12 - place) * p) * (1 - 1e-9)
    assert min(i.p[0] for i in found) == pytest.approx(min(1, 12 * min(alone)))


def test_a_verdict_with_two_sides_errs_no_more_often() -> None:
    """One-sided at 5 % a side would be wrong in 10 % of families; the interval reaches beyond zero."""
    (item,) = assess(NO_STRUCTURE, [row([90.0, 90.9, 91.4], [91.3, 91.6, 92.9])])
    assert item.told is not None
    assert item.told.below(0) < 0.05
    assert item.verdict == claims.BELOW or item.told.low < 0 < item.told.high


def test_two_that_learned_nothing_are_not_thereby_one_training(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS)
    assert readout(STRUCTURE, entries(records))[0].verdict == claims.EQUAL
    for name, record in records.items():
        if name.startswith("mnist-scale-hssl-quick"):
            records[name] = _at_chance(record)
    assert readout(STRUCTURE, entries(records))[0].verdict == claims.UNTRAINED
    # The paper's own numbers are not spoiled by it.
    (theirs,) = claims.papers_own(STRUCTURE, entries(records)).values()
    assert theirs.verdict == claims.EQUAL


def _at_chance(record: RunRecord) -> RunRecord:
    stuck = tuple({**line, "train/loss": chance_loss(record)} for line in record.metrics)
    return record.model_copy(update={"metrics": stuck})
