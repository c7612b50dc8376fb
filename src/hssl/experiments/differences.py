"""What a few runs say about a difference: intervals and tests that know how few they are. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hssl.experiments.tables import Summary, summarise

LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """How far two means are apart, or two ends of a line, with Student's t around it.

    Attributes:
        mean: in the samples' unit.
        error: its standard error.
        freedom: degrees of freedom.
        low, high: the 95 % confidence interval.
        p: two-sided p-value of no difference.
        p_greater: one-sided p-value against 'the first is not greater'.
    """

    mean: float
    error: float
    freedom: float
    low: float
    high: float
    p: float
    p_greater: float

    def below(self, margin: float) -> float:
        """p-value of a one-sided test against 'the first exceeds the other by `margin` or more'."""
        from scipy import stats

        return float(stats.t.cdf((self.mean - margin) / self.error, self.freedom))

    def within(self, margin: float) -> float:
        """p-value of two one-sided tests (Schuirmann 1987) against 'they differ by `margin` or more'."""
        from scipy import stats

        lower = float(stats.t.sf((self.mean + margin) / self.error, self.freedom))
        return max(self.below(margin), lower)


def difference(one: Summary | None, other: Summary | None) -> Difference | None:
    """`one` minus `other`, both normal, with variances of their own (Welch 1947).

    None where either is missing, has a single run, or neither varies at all.
    """
    if one is None or other is None or one.std is None or other.std is None:
        return None
    squares = [summary.std**2 / summary.count for summary in (one, other) if summary.std is not None]
    error = math.sqrt(sum(squares))
    if error == 0:
        return None
    parts = [square**2 / (summary.count - 1) for square, summary in zip(squares, (one, other), strict=True)]
    return _around(one.mean - other.mean, error, sum(squares) ** 2 / sum(parts))


@dataclass(frozen=True)
class Trend(Difference):
    """How much the line of least squares through all runs of several places rises from the first place to the last.

    Attributes:
        gaps: any two places' means against each other, with variances of their own, and the size of the gap; no
            difference where neither place varies.
    """

    gaps: tuple[tuple[float, Difference | None], ...]

    def within(self, margin: float) -> float:
        """p-value against 'some two places differ by `margin` or more'.

        The largest p-value of the pairs: all of them must be refuted, which needs no correction (Berger 1982).
        """
        return max(float(gap >= margin) if told is None else told.within(margin) for gap, told in self.gaps)


def trend(places: Sequence[Sequence[float]]) -> Trend | None:
    """The trend over places that are one step apart; the line's error is that of all runs about it.

    Runs that share a seed are taken as independent; what a seed adds to all of its runs alike widens the interval.

    Args:
        places: in their order, the runs of each.

    Returns:
        None where there are fewer than three places, fewer than two runs in one of them, or no spread within places.
    """
    if len(places) < 3 or any(len(runs) < 2 for runs in places):
        return None
    pairs = [(float(place), value) for place, runs in enumerate(places) for value in runs]
    count, steps = len(pairs), len(places) - 1
    middle, mean = (math.fsum(values) / count for values in zip(*pairs, strict=True))
    spread = math.fsum((x - middle) ** 2 for x, _ in pairs)
    slope = math.fsum((x - middle) * (y - mean) for x, y in pairs) / spread
    about_line = math.fsum((y - mean - slope * (x - middle)) ** 2 for x, y in pairs) / (count - 2)
    means = [math.fsum(runs) / len(runs) for runs in places]
    inside = math.fsum((value - m) ** 2 for runs, m in zip(places, means, strict=True) for value in runs)
    if inside < 1e-18:
        return None
    told = [summarise(runs) for runs in places]
    gaps = tuple(
        (abs(means[one] - means[other]), difference(told[one], told[other]))
        for one in range(len(places))
        for other in range(one)
    )
    return Trend(**vars(_around(steps * slope, steps * math.sqrt(about_line / spread), count - 2)), gaps=gaps)


def _around(mean: float, error: float, freedom: float) -> Difference:
    from scipy import stats

    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Difference(
        mean=mean,
        error=error,
        freedom=freedom,
        low=mean - reach,
        high=mean + reach,
        p=float(2 * stats.t.sf(abs(mean) / error, freedom)),
        p_greater=float(stats.t.sf(mean / error, freedom)),
    )


def holm(p: Sequence[float]) -> list[float]:
    """p-values of one family corrected for their number (Holm 1979), in the order that they were given in.

    Rejecting where the corrected value is below 0.05 rejects any true hypothesis of the family in at most 5 % of cases.
    """
    corrected = [0.0] * len(p)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        corrected[place] = largest
    return corrected
