"""What a few runs say about a difference: intervals and tests that know how few they are. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hssl.experiments.tables import Summary

LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """The mean of one sample minus that of another, both normal, with variances of their own (Welch 1947).

    Attributes:
        mean: in the samples' unit.
        error: its standard error.
        freedom: Welch and Satterthwaite's degrees of freedom.
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
    """`one` minus `other`; None where either is missing, has a single run, or neither varies at all."""
    if one is None or other is None or one.std is None or other.std is None:
        return None
    squares = [summary.std**2 / summary.count for summary in (one, other) if summary.std is not None]
    error = math.sqrt(sum(squares))
    if error == 0:
        return None
    from scipy import stats

    parts = [square**2 / (summary.count - 1) for square, summary in zip(squares, (one, other), strict=True)]
    freedom = sum(squares) ** 2 / sum(parts)
    mean = one.mean - other.mean
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
