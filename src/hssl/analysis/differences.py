"""What a few runs say about a difference: intervals, tests and powers that know how few they are. Imports no torch.

Runs of one seed share their first weights and the order of their batches, so two ways of training are compared seed by
seed: what a seed does to both alike cancels. Where there are no common seeds (the paper's numbers) or no common
network, Welch's test takes the two sides as independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

from hssl.analysis.summaries import NONE, Summary

LEVEL = 0.95
_NO_SPREAD = 1e-9
"""Points of accuracy below which a spread is rounding."""


@dataclass(frozen=True)
class Difference:
    """How far two means are apart, or two ends of a line, with Student's t around it.

    Attributes:
        mean: in the samples' unit.
        error: its standard error.
        freedom: degrees of freedom.
        count: seeds that it is over; of independent sides, runs of the smaller.
    """

    mean: float
    error: float
    freedom: float
    count: int

    @property
    def low(self) -> float:
        """The lower end of the 95 % confidence interval."""
        return self.mean - self._reach

    @property
    def high(self) -> float:
        """The upper end of it."""
        return self.mean + self._reach

    @property
    def p(self) -> float:
        """Two-sided p-value of no difference."""
        return min(1.0, 2 * min(self.above(0), self.below(0)))

    def above(self, bound: float) -> float:
        """p-value of a one-sided test against 'the difference is `bound` or less'."""
        from scipy import stats

        return float(stats.t.sf((self.mean - bound) / self.error, self.freedom))

    def below(self, bound: float) -> float:
        """p-value of a one-sided test against 'the difference is `bound` or more'."""
        from scipy import stats

        return float(stats.t.cdf((self.mean - bound) / self.error, self.freedom))

    def within(self, margin: float) -> float:
        """p-value of two one-sided tests (Schuirmann 1987) against 'they differ by `margin` or more'."""
        return max(self.below(margin), self.above(-margin))

    def power_above(self, bound: float, level: float, seeds: Any) -> Any:
        """How likely so many seeds show a difference above `bound`, were mean and spread what they are here.

        Exact, by the noncentral t distribution. An array of numbers of seeds gives an array.
        """
        return self._power((self.mean - bound) / self.error, level, seeds)

    def power_below(self, bound: float, level: float, seeds: Any) -> Any:
        """The same for a difference below `bound`."""
        return self._power((bound - self.mean) / self.error, level, seeds)

    def power_within(self, margin: float, level: float, seeds: Any) -> Any:
        """The same for a difference within `margin`: by Boole's inequality, so never too large."""
        return self.power_below(margin, level, seeds) + self.power_above(-margin, level, seeds) - 1

    def _power(self, shift: float, level: float, seeds: Any) -> Any:
        from scipy import stats

        freedom = self.freedom * (seeds - 1) / (self.count - 1)
        return stats.nct.sf(stats.t.isf(level, freedom), freedom, shift * (seeds / self.count) ** 0.5)

    @property
    def _reach(self) -> float:
        from scipy import stats

        return float(stats.t.ppf((1 + LEVEL) / 2, self.freedom)) * self.error


def difference(one: Summary | None, other: Summary | None) -> Difference | None:
    """`one` minus `other`: paired where both carry their values by seed, else Welch's."""
    if one is not None and other is not None and one.by_seed and other.by_seed:
        return paired(one, other)
    return welch(one, other)


def paired(one: Summary, other: Summary) -> Difference | None:
    """`one` minus `other`, seed by seed, over the seeds that both have: Student's t of their differences.

    None where fewer than two seeds are common, or where the differences do not vary at all.
    """
    seeds = one.by_seed.keys() & other.by_seed.keys()
    return _of_seeds([one.by_seed[seed] - other.by_seed[seed] for seed in sorted(seeds)])


def welch(one: Summary | None, other: Summary | None) -> Difference | None:
    """`one` minus `other`, independent and normal, with variances of their own (Welch 1947).

    None where either is missing, has a single run, or neither varies at all.
    """
    if one is None or other is None or one.std is None or other.std is None:
        return None
    squares = [summary.std**2 / summary.count for summary in (one, other) if summary.std is not None]
    if sum(squares) < _NO_SPREAD**2:
        return None
    parts = [square**2 / (summary.count - 1) for square, summary in zip(squares, (one, other), strict=True)]
    freedom = sum(squares) ** 2 / sum(parts)
    return Difference(one.mean - other.mean, math.sqrt(sum(squares)), freedom, min(one.count, other.count))


def _of_seeds(values: Sequence[float]) -> Difference | None:
    if len(values) < 2 or (spread := stdev(values)) < _NO_SPREAD:
        return None
    return Difference(fmean(values), spread / math.sqrt(len(values)), len(values) - 1, len(values))


@dataclass(frozen=True)
class Least(Difference):
    """The smallest of several differences, that of one to each of several others.

    Attributes:
        parts: all of them.
    """

    parts: tuple[Difference, ...]

    def above(self, bound: float) -> float:
        """All of them are above: each must be shown, which needs no correction (Berger 1982)."""
        return max(part.above(bound) for part in self.parts)

    def below(self, bound: float) -> float:
        """One of them is below, corrected for their number (Bonferroni)."""
        return min(1.0, len(self.parts) * min(part.below(bound) for part in self.parts))

    def power_above(self, bound: float, level: float, seeds: Any) -> Any:
        return 1 - sum(1 - part.power_above(bound, level, seeds) for part in self.parts)

    def power_below(self, bound: float, level: float, seeds: Any) -> Any:
        smallest = min(self.parts, key=lambda part: (part.mean - bound) / part.error)
        return smallest.power_below(bound, level / len(self.parts), seeds)


def least(one: Summary | None, *others: Summary | None) -> Least | None:
    """The smallest of the differences of `one` to each other; None where one of them cannot be tested."""
    parts = [difference(one, other) for other in others]
    known = tuple(part for part in parts if part is not None)
    if not known or len(known) < len(parts):
        return None
    return Least(**vars(min(known, key=lambda part: part.mean)), parts=known)


@dataclass(frozen=True)
class Trend(Difference):
    """How much accuracy rises from the first place of an axis to the last, along the line of least squares.

    Attributes:
        gaps: any two places against each other, paired; the size of the gap, and no difference where it does not vary.
    """

    gaps: tuple[tuple[float, Difference | None], ...]

    def within(self, margin: float) -> float:
        """p-value against 'some two places differ by `margin` or more'.

        The largest p-value of the pairs: all of them must be refuted, which needs no correction (Berger 1982).
        """
        return max(float(gap >= margin) if told is None else told.within(margin) for gap, told in self.gaps)

    def power_within(self, margin: float, level: float, seeds: Any) -> Any:
        known = [told for _, told in self.gaps if told is not None]
        if any(told is None and gap >= margin for gap, told in self.gaps):
            return 0.0 * seeds
        return 1 - sum(1 - told.power_within(margin, level, seeds) for told in known)


def trend(*places: Summary | None) -> Trend | None:
    """The trend over places that are one step apart, from the seeds that all of them have.

    A seed's rise is the linear contrast of its own accuracies along the axis: what a seed adds to all of its runs alike
    is no part of it. The rises, one a seed, are tested by Student's t.

    Args:
        places: in their order, with values by seed.

    Returns:
        None where there are fewer than three places, fewer than two common seeds, or rises that do not vary.
    """
    there = [place for place in places if place is not None]
    if len(there) < 3 or len(there) < len(places):
        return None
    seeds = sorted(set[int].intersection(*(set(place.by_seed) for place in there)))
    middle = (len(there) - 1) / 2
    weights = [number - middle for number in range(len(there))]
    scale = (len(there) - 1) / math.fsum(weight**2 for weight in weights)
    rises = [
        scale * math.fsum(weight * place.by_seed[seed] for weight, place in zip(weights, there, strict=True))
        for seed in seeds
    ]
    if (told := _of_seeds(rises)) is None:
        return None
    gaps = []
    for one, other in combinations(there, 2):
        apart = [one.by_seed[seed] - other.by_seed[seed] for seed in seeds]
        gaps.append((abs(fmean(apart)), _of_seeds(apart)))
    return Trend(**vars(told), gaps=tuple(gaps))


MOST_SEEDS = 100
POWER = 0.8


def seeds_for(power: Callable[[Any], Any]) -> int | None:
    """The smallest number of seeds, 2 to `MOST_SEEDS`, whose power is 80 %; None where that is not enough.

    Args:
        power: of numbers of seeds, an array.
    """
    import numpy as np

    seeds = np.arange(2, MOST_SEEDS + 1)
    enough = np.flatnonzero(np.asarray(power(seeds)) >= POWER)
    return int(seeds[enough[0]]) if len(enough) else None


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


def interval(told: Difference | None) -> str:
    """'−0.3 (−1.2 to +0.6)': a difference and its 95 % interval."""
    return NONE if told is None else signed(f"{told.mean:+z.1f} ({told.low:+z.1f} to {told.high:+z.1f})")


def p_text(p: float | None) -> str:
    return NONE if p is None else "< 0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def signed(text: str) -> str:
    """With the sign for minus, which is as wide as plus."""
    return text.replace("-", "−")
