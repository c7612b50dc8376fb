"""Intervals, tests and powers of a difference against a library's own."""

import math

import numpy as np
import pytest
from scipy import stats

from hssl.analysis.differences import (
    POWER,
    Difference,
    difference,
    holm,
    least,
    paired,
    seeds_for,
    trend,
    welch,
)
from hssl.analysis.summaries import Summary, summarise

ONE, OTHER = [91.2, 92.9, 90.4], [88.1, 89.9, 87.0, 90.2]


def by_seed(values: list[float], first: int = 0) -> Summary:
    found = summarise(dict(enumerate(values, first)))
    assert found is not None
    return found


def test_what_is_independent_is_welchs() -> None:
    found = welch(summarise(ONE), summarise(OTHER))
    theirs = stats.ttest_ind(ONE, OTHER, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert found is not None
    assert found.mean == pytest.approx(np.mean(ONE) - np.mean(OTHER))
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.freedom == pytest.approx(theirs.df)
    greater = stats.ttest_ind(ONE, OTHER, equal_var=False, alternative="greater")
    assert found.above(0) == pytest.approx(greater.pvalue)
    # The control: with equal variances taken for granted the numbers are others.
    assert found.p != pytest.approx(stats.ttest_ind(ONE, OTHER).pvalue)


def test_runs_of_common_seeds_are_paired() -> None:
    found = paired(by_seed(ONE), by_seed(OTHER))
    theirs = stats.ttest_rel(ONE, OTHER[:3])
    interval = theirs.confidence_interval(0.95)
    assert found is not None
    assert (found.mean, found.p, found.freedom, found.count) == pytest.approx(
        (np.mean(ONE) - np.mean(OTHER[:3]), theirs.pvalue, 2, 3)
    )
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    # It is the seeds that are common which count, in whatever order they are given.
    assert paired(by_seed(ONE), by_seed([0.0, *OTHER], first=-1)) == found
    turned = summarise({seed: OTHER[seed] for seed in (3, 1, 0, 2)})
    assert turned is not None
    assert paired(by_seed(ONE), turned) == found
    assert difference(by_seed(ONE), by_seed(OTHER)) == found
    # What has no seeds, as the paper's numbers, is no pair.
    assert difference(by_seed(ONE), summarise(OTHER)) == welch(summarise(ONE), summarise(OTHER))


def test_pairs_show_what_the_spread_over_seeds_hides() -> None:
    """Equal to a tenth seed by seed, four points from seed to seed: equal by pairs, undecided by Welch."""
    one, other = [88.0, 92.0, 96.0, 90.0, 94.0], [88.1, 91.9, 96.1, 90.2, 93.9]
    told, independent = paired(by_seed(one), by_seed(other)), welch(summarise(one), summarise(other))
    assert told is not None
    assert independent is not None
    assert told.within(2) < 0.001
    assert independent.within(2) > 0.05
    # The control: pairs of different seeds lose it.
    shuffled = paired(by_seed(one), by_seed([*other[1:], other[0]]))
    assert shuffled is not None
    assert shuffled.mean == pytest.approx(told.mean)
    assert shuffled.within(2) > 0.05


def test_equivalence_is_two_one_sided_tests() -> None:
    for found, test in (
        (welch(summarise(ONE), summarise(OTHER[:3])), stats.ttest_ind),
        (paired(by_seed(ONE), by_seed(OTHER[:3])), stats.ttest_rel),
    ):
        words = {"equal_var": False} if test is stats.ttest_ind else {}
        shifted = [test(np.array(ONE) + shift, OTHER[:3], alternative=side, **words).pvalue
                   for shift, side in ((-5, "less"), (5, "greater"))]  # fmt: skip
        assert found is not None
        assert found.within(5) == pytest.approx(max(shifted))
        assert found.below(5) == pytest.approx(shifted[0])
        assert found.within(1) > 0.5 > 0.05 > found.within(20)


@pytest.mark.parametrize(
    ("one", "other"),
    [(None, Summary(1, 1, 3)), (Summary(1, None, 1), Summary(1, 1, 3)), (Summary(1, 0, 3), Summary(2, 0, 3)),
     (by_seed([1.0, 2.0]), by_seed([1.0, 2.0], first=1)), (by_seed([1.1, 2.3]), by_seed([1.2, 2.4]))],
)  # fmt: skip
def test_where_nothing_can_be_said_nothing_is(one: Summary | None, other: Summary | None) -> None:
    """A side missing, single runs, one common seed; no spread, which of two seeds is chance."""
    assert difference(one, other) is None


def test_holms_correction() -> None:
    # R: p.adjust(c(0.03, 0.01, 0.02, 0.05, 0.04), "holm")
    assert holm([0.03, 0.01, 0.02, 0.05, 0.04]) == pytest.approx([0.09, 0.05, 0.08, 0.09, 0.09])
    assert holm([0.01]) == [0.01]
    assert holm([0.9, 0.4]) == pytest.approx([0.9, 0.8])
    assert holm([]) == []


def test_a_correction_keeps_false_alarms_rare() -> None:
    chance = np.random.default_rng(0)
    families = chance.uniform(size=(4000, 8))
    assert np.mean([min(holm(list(family))) < 0.05 for family in families]) < 0.06
    # The control: without it a family of eight has one in a third of all cases.
    assert np.mean(families.min(axis=1) < 0.05) > 0.3


TOP, BELOW, NEAR = [99.0, 99.3, 99.1], [95.0, 96.0, 95.2], [98.8, 98.7, 98.4]


def test_one_is_above_all_where_it_is_above_each() -> None:
    found = least(*map(by_seed, (TOP, BELOW, NEAR)))
    each = [stats.ttest_rel(TOP, other, alternative="greater").pvalue for other in (BELOW, NEAR)]
    assert found is not None
    assert found.mean == pytest.approx(np.mean(TOP) - np.mean(NEAR))
    assert found.above(0) == pytest.approx(max(each))
    turned = least(*map(by_seed, (NEAR, TOP, BELOW)))
    assert turned is not None
    assert turned.below(0) == pytest.approx(2 * stats.ttest_rel(NEAR, TOP, alternative="less").pvalue)
    assert turned.above(0) > 0.5
    assert least(by_seed(TOP), by_seed(BELOW), None) is None


RISING = [[90.1, 90.5, 90.9], [91.2, 90.9, 92.0], [92.4, 92.0, 93.1]]
HUMP = [[90.0, 90.2, 89.8], [92.0, 92.1, 91.8], [93.4, 93.6, 93.3], [92.0, 92.3, 91.8], [90.0, 90.1, 89.9]]


def test_a_trend_is_the_mean_rise_of_the_seeds_lines() -> None:
    found = trend(*map(by_seed, RISING))
    slopes = [stats.linregress([0, 1, 2], [place[seed] for place in RISING]).slope for seed in range(3)]
    theirs = stats.ttest_1samp(slopes, 0)
    assert found is not None
    assert found.mean == pytest.approx(2 * np.mean(slopes))
    assert (found.p, found.freedom) == pytest.approx((theirs.pvalue, 2))
    interval = theirs.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((2 * interval.low, 2 * interval.high))
    turned = trend(*map(by_seed, RISING[::-1]))
    assert turned is not None
    assert turned.mean == pytest.approx(-found.mean)


def test_what_a_seed_adds_to_all_of_its_runs_is_no_part_of_a_trend() -> None:
    shifted = [[value + 5 * seed for seed, value in enumerate(place)] for place in RISING]
    found, told = trend(*map(by_seed, RISING)), trend(*map(by_seed, shifted))
    assert found is not None
    assert told is not None
    assert told.p == pytest.approx(found.p)
    # The control: places whose seeds are out of step lose it.
    mixed = trend(by_seed(shifted[0]), by_seed(shifted[1][::-1]), by_seed(shifted[2][1:] + shifted[2][:1]))
    assert mixed is not None
    assert mixed.p > found.p


def test_places_are_within_a_margin_where_any_two_are() -> None:
    found = trend(*map(by_seed, RISING))
    farthest = paired(by_seed(RISING[2]), by_seed(RISING[0]))
    assert found is not None
    assert farthest is not None
    assert found.within(4) == pytest.approx(farthest.within(4))
    # A hump has no slope, and is not constant for that.
    hump = trend(*map(by_seed, HUMP))
    assert hump is not None
    assert abs(hump.mean) < 0.1
    assert hump.within(2) > 0.5
    assert hump.within(4) < 0.05


def test_places_that_do_not_vary_are_as_far_apart_as_they_are() -> None:
    found = trend(*map(by_seed, ([93.0, 93.0], [93.5, 93.5], [93.1, 93.2])))
    assert found is not None
    assert found.within(0.4) == 1.0
    assert np.all(found.power_within(0.4, 0.05, np.arange(2, 9)) == 0)


@pytest.mark.parametrize(
    "places", [[], 2 * [[1.0, 2.0]], [[1.0], [2.0, 3.0], [1.0, 2.0]], [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]]
)
def test_no_trend_without_places_seeds_and_spread(places: list[list[float]]) -> None:
    assert trend(*map(by_seed, places)) is None
    assert trend(*map(by_seed, RISING), None) is None


OBSERVED = Difference(mean=0.8, error=1.0 / math.sqrt(4), freedom=3, count=4)


def test_power_is_how_often_the_tests_succeed() -> None:
    """Against 20,000 experiments of each number of seeds, of mean 0.8 and standard deviation 1."""
    chance = np.random.default_rng(0)
    for seeds in (3, 8, 20):
        runs = chance.normal(0.8, 1.0, (20_000, seeds))
        above = np.mean(stats.ttest_1samp(runs, 0, axis=1, alternative="greater").pvalue < 0.05)
        below = np.mean(stats.ttest_1samp(runs, 2, axis=1, alternative="less").pvalue < 0.05)
        assert OBSERVED.power_above(0, 0.05, seeds) == pytest.approx(above, abs=0.015)
        assert OBSERVED.power_below(2, 0.05, seeds) == pytest.approx(below, abs=0.015)
        inside = np.mean(
            (stats.ttest_1samp(runs, -2, axis=1, alternative="greater").pvalue < 0.05)
            & (stats.ttest_1samp(runs, 2, axis=1, alternative="less").pvalue < 0.05)
        )
        # Never too large, and near where it matters.
        assert OBSERVED.power_within(2, 0.05, seeds) < inside + 0.01
        if inside > POWER:
            assert OBSERVED.power_within(2, 0.05, seeds) == pytest.approx(inside, abs=0.015)


def test_the_fewest_seeds_that_are_enough() -> None:
    def power(seeds: object) -> object:
        return OBSERVED.power_above(0, 0.05, seeds)

    enough = seeds_for(power)
    assert enough is not None
    assert power(enough) >= POWER > power(enough - 1)  # type: ignore[operator]
    # As many as a table says: d = 0.8, one-sided, 5 %, 80 %: 12 (Cohen 1988; G*Power).
    assert enough == 12
    assert seeds_for(lambda seeds: Difference(0.01, 0.5, 3, 4).power_above(0, 0.05, seeds)) is None
