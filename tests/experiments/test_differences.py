"""Intervals and tests of a difference against a library's own."""

import math

import numpy as np
import pytest
from scipy import stats

from hssl.experiments.differences import difference, holm, trend
from hssl.experiments.tables import Summary, summarise

ONE, OTHER = [91.2, 92.9, 90.4], [88.1, 89.9, 87.0, 90.2]


def test_it_is_welchs() -> None:
    found = difference(summarise(ONE), summarise(OTHER))
    theirs = stats.ttest_ind(ONE, OTHER, equal_var=False)
    interval = theirs.confidence_interval(0.95)
    assert found is not None
    assert found.mean == pytest.approx(np.mean(ONE) - np.mean(OTHER))
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.freedom == pytest.approx(theirs.df)
    greater = stats.ttest_ind(ONE, OTHER, equal_var=False, alternative="greater")
    assert found.p_greater == pytest.approx(greater.pvalue)
    # The control: with equal variances taken for granted the numbers are others.
    assert found.p != pytest.approx(stats.ttest_ind(ONE, OTHER).pvalue)


def test_equivalence_is_two_one_sided_tests() -> None:
    found = difference(summarise(ONE), summarise(OTHER))
    assert found is not None
    shifted = [stats.ttest_ind(np.array(ONE) + shift, OTHER, equal_var=False, alternative=side).pvalue
               for shift, side in ((-5, "less"), (5, "greater"))]  # fmt: skip
    assert found.within(5) == pytest.approx(max(shifted))
    assert found.within(1) > 0.5 > 0.05 > found.within(20)


@pytest.mark.parametrize(
    ("one", "other"),
    [(None, Summary(1, 1, 3)), (Summary(1, None, 1), Summary(1, 1, 3)), (Summary(1, 0, 3), Summary(2, 0, 3))],
)
def test_where_nothing_can_be_said_nothing_is(one: Summary | None, other: Summary | None) -> None:
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


def test_one_side_of_equivalence() -> None:
    found = difference(summarise(ONE), summarise(OTHER))
    assert found is not None
    assert found.below(5) == pytest.approx(
        stats.ttest_ind(np.array(ONE) - 5, OTHER, equal_var=False, alternative="less").pvalue
    )
    assert found.below(0) == pytest.approx(1 - found.p_greater)


RISING = [[90.1, 90.5], [91.2, 90.9], [92.4, 92.0]]
HUMP = [[90.0, 90.2, 89.8], [92.0, 92.2, 91.8], [93.4, 93.6, 93.2], [92.0, 92.2, 91.8], [90.0, 90.2, 89.8]]


def test_a_trend_is_the_rise_of_the_line_of_least_squares() -> None:
    found = trend(RISING)
    x, y = [0, 0, 1, 1, 2, 2], [value for runs in RISING for value in runs]
    theirs = stats.linregress(x, y)
    assert found is not None
    assert found.mean == pytest.approx(2 * theirs.slope)
    assert found.error == pytest.approx(2 * theirs.stderr)
    assert found.freedom == 4
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.p_greater == pytest.approx(theirs.pvalue / 2)
    assert found.low < found.mean < found.high
    turned = trend(RISING[::-1])
    assert turned is not None
    assert turned.mean == pytest.approx(-found.mean)


def test_places_are_within_a_margin_where_any_two_are() -> None:
    found = trend(RISING)
    assert found is not None
    farthest = difference(summarise(RISING[2]), summarise(RISING[0]))
    assert farthest is not None
    assert found.within(4) == pytest.approx(farthest.within(4))
    # A hump has no slope, and is not constant for that.
    hump = trend(HUMP)
    assert hump is not None
    assert abs(hump.mean) < 1e-9
    assert hump.within(2) > 0.5
    assert hump.within(4) < 0.05


def test_a_place_that_varies_widely_is_not_carried_by_narrow_ones() -> None:
    narrow, wide = [[93.0, 93.1, 92.9], [93.1, 93.0, 93.2], [93.0, 92.9, 93.1]], [91.6, 94.4, 93.0]
    steady, wavering = trend(narrow), trend([*narrow, wide])
    assert steady is not None
    assert wavering is not None
    assert steady.within(2) < 0.001
    # One variance for all places would call it constant: t = (0 - 2) / (0.71 sqrt(2 / 3)) with 8 degrees of freedom.
    inside = math.sqrt(sum(np.var(runs, ddof=1) for runs in (*narrow, wide)) / 4)
    assert stats.t.cdf((0.1 - 2) / (inside * math.sqrt(2 / 3)), 8) < 0.05
    assert wavering.within(2) > 0.05


def test_places_that_do_not_vary_are_as_far_apart_as_they_are() -> None:
    found = trend([[93.0, 93.0], [93.5, 93.5], [93.1, 93.2]])
    assert found is not None
    assert found.within(2) < 0.05
    assert found.within(0.4) == 1.0


@pytest.mark.parametrize(
    "places", [[], 2 * [[1.0, 2.0]], [[1.0], [2.0, 3.0], [1.0, 2.0]], [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]]
)
def test_no_trend_without_places_runs_and_spread(places: list[list[float]]) -> None:
    assert trend(places) is None
