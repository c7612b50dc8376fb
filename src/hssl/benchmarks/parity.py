"""What sampled streams do to accuracy: runs that compute what their pairs read against runs that compute all."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from hssl.errors import DataError
from hssl.runs.record import RunRecord

MEASURES = {"readout": "readout", "linear_probe": "linear probe", "knn": "kNN"}


@dataclass(frozen=True)
class Difference:
    """Accuracy of one mode by one measure, sampled minus all, in percentage points.

    Attributes:
        name: the recipe and the measure.
        sampled, everything: mean accuracy in percent.
        difference: of the means.
        standard_error: of the difference, from both sample variances; NaN with a single run on a side.
        runs: on each side.
    """

    name: str
    sampled: float
    everything: float
    difference: float
    standard_error: float
    runs: tuple[int, int]


def sides(records: Sequence[RunRecord]) -> tuple[list[RunRecord], list[RunRecord]]:
    """Of any records, those with sampled streams and those with all that have counterparts on the other side."""
    kinds: dict[str, dict[str, list[RunRecord]]] = {}
    for record in records:
        streams = record.configuration["views"].get("streams", "all")
        kinds.setdefault(_but_streams(record), {}).setdefault(streams, []).append(record)
    both = [kind for kind in kinds.values() if len(kind) > 1]
    return [item for kind in both for item in kind["sampled"]], [item for kind in both for item in kind["all"]]


def differences(sampled: Sequence[RunRecord], everything: Sequence[RunRecord]) -> list[Difference]:
    """Every mode and measure that both sides have.

    Raises:
        DataError: runs that were not computed as their side says, or that differ in more than their streams.
    """
    for records, streams in ((sampled, "sampled"), (everything, "all")):
        for record in records:
            if record.configuration["views"].get("streams", "all") != streams:
                raise DataError(f"a run among those with streams '{streams}' is none", got=record.recipe)
    found = []
    for recipe in dict.fromkeys(record.recipe for record in sampled):
        sides = [[record for record in records if record.recipe == recipe] for records in (sampled, everything)]
        if not sides[1]:
            continue
        if len({_but_streams(record) for side in sides for record in side}) > 1:
            raise DataError(f"runs of {recipe} differ in more than seed and streams", hint="train both sides alike")
        for measure, label in MEASURES.items():
            values = [
                [entry.accuracy for record in side if (entry := getattr(record.evaluation, measure)) is not None]
                for side in sides
            ]
            if min(map(len, values)) == 0:
                continue
            means = [statistics.fmean(side) for side in values]
            error = math.nan
            if min(map(len, values)) > 1:
                error = math.sqrt(sum(statistics.variance(side) / len(side) for side in values))
            found.append(
                Difference(
                    name=f"{recipe}, {label}",
                    sampled=means[0],
                    everything=means[1],
                    difference=means[0] - means[1],
                    standard_error=error,
                    runs=(len(values[0]), len(values[1])),
                )
            )
    return found


def as_table(found: Sequence[Difference]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and lines, as text."""
    lines: list[tuple[str, ...]] = [
        (
            entry.name,
            f"{entry.sampled:.1f}",
            f"{entry.everything:.1f}",
            f"{entry.difference:+.2f}"
            + (", a single run" if math.isnan(entry.standard_error) else f" ± {entry.standard_error:.2f}"),
            " and ".join(map(str, entry.runs)),
        )
        for entry in found
    ]
    return ("accuracy %", "sampled", "all", "difference ± SE", "runs"), lines


def _but_streams(record: RunRecord) -> str:
    configuration = {name: value for name, value in record.configuration.items() if name != "seed"}
    views = {name: value for name, value in configuration["views"].items() if name != "streams"}
    data = {name: value for name, value in configuration["data"].items() if name not in ("root", "store")}
    return repr(sorted({**configuration, "views": views, "data": data}.items()))
