"""Section on equivariance before and after training: does training keep, make or break it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from hssl.analysis.summaries import NONE, Row, Summary, Trained, summarise
from hssl.evaluation.strength import STRENGTH, changes_nothing, strengths
from hssl.report.document import Line, Number, Plot, Section, Table, modes_of
from hssl.report.plots import equivariance_errors
from hssl.runs.record import Equivariance, Evaluation

NOT_MEASURED = "not measured"
_IDENTITY = "0°"
_OF_STRENGTH = (
    "Features that a transformation does not change obey any law. The strength of the action is the difference that "
    "the transformation makes to them, in the units of the error that it stands below: near 0, a small error is no "
    "evidence."
)
_OF_SCALES = ("wrong stream", "other image", "round trip")


@dataclass(frozen=True)
class Errors:
    """Relative errors of a cell's runs.

    Attributes:
        mean: over the elements other than the identity, summarised over runs; None where no run measured them.
        largest: over those elements and all runs.
        diverged: how many runs have an element whose error is not finite; they are in neither number.
    """

    mean: Summary | None
    largest: float | None
    diverged: int


def errors_of(measured: Iterable[Equivariance | None]) -> Errors:
    """What a cell's runs measured, at one moment of their training."""
    means, largest, diverged = [], [], 0
    for item in measured:
        if item is None:
            continue
        # The identity says nothing: a network equals itself. Groups that are not closed leave it out.
        values = [value for name, value in item.errors.items() if name != _IDENTITY]
        finite = [value for value in values if value is not None]
        if len(finite) < len(values):
            diverged += 1
        elif finite:
            means.append(sum(finite) / len(finite))
            largest.append(max(finite))
    return Errors(summarise(means), max(largest, default=None), diverged)


def equivariance(
    trained: Sequence[Trained], cells: Mapping[str, Sequence[Row]], beyond: Sequence[Trained] = ()
) -> Section | None:
    """Before and after, for all that has been measured.

    Args:
        trained: ways of training in the rows of the tables.
        cells: what is drawn, by the name of its row.
        beyond: ways of training in studies, which stand apart.
    """
    tables = [_table("equivariance", trained), _table("equivariance-beyond", beyond)]
    if not any(table.lines for table in tables):
        return None
    measured = [record.evaluation.equivariance for one in (*trained, *beyond) for record in one.records]
    strong = any(item is not None and strengths(item.context) for item in measured)
    return Section(
        "Equivariance before and after training",
        (
            "The relative error between the features of a transformed image and the transformed features of the image: "
            "0 is equivariant, 1 is as far off as the features vary. H-SSL stands for A-SSL only as far as this is "
            "small. Exact groups are held to a bound that rounding explains. Zero-padded translations are exact off "
            "the border alone, which is measured on a canvas larger than the images and says nothing about training; "
            "at the size of the images most places see the border, and the error with it stands below. Scales are "
            "approximate: below their error stand two violations of the law (another stream than the law says, "
            "another image), which a network that obeys it is nearer than, and what shrinking and magnifying alone "
            "costs (round trip). Without structure (none) nothing is promised.",
            *((_OF_STRENGTH,) if strong else ()),
        ),
        plots=tuple(_plots(cells)),
        modes=modes_of(row.mode for rows in cells.values() for row in rows),
        tables=tuple(table for table in tables if table.lines),
    )


def _table(name: str, here: Sequence[Trained]) -> Table:
    headings = (
        "Row", "Training", "Equivariance", "Mean before", "Mean after", "Largest before", "Largest after", "Bound",
        "Held after", "Elements",
    )  # fmt: skip
    caption = (
        "Means over group elements other than the identity, then mean ± sample standard deviation over runs; largest "
        "over elements and runs. Before: the same network at its first weights, with calibrated BatchNorm. "
        f"'{NOT_MEASURED}': the records are older than this measurement."
    )
    lines = [line for one in here for line in _lines(one)]
    folded = "" if name == "equivariance" else f"The variants of the studies beyond the paper ({len(lines)})"
    return Table(name, headings, tuple(lines), caption, folded)


def _plots(cells: Mapping[str, Sequence[Row]]) -> Iterable[Plot]:
    for number, (name, rows) in enumerate(cells.items()):
        if svg := equivariance_errors(rows, f"equivariance{number}"):
            measured = [record.evaluation.equivariance for row in rows for record in row.records]
            bounded = any(item is not None and item.bound is not None for item in measured)
            yield Plot(name, svg, "After training: a mark a run" + ("; dashed: the bound" if bounded else ""))


def _lines(of: Trained) -> Iterable[Line]:
    """A line for each set of elements that runs measured: errors of different ones are not averaged."""
    of_elements: dict[tuple[str, ...], list[Evaluation]] = {}
    for record in of.records:
        if (after := record.evaluation.equivariance) is not None:
            elements = tuple(name for name in after.errors if name != _IDENTITY)
            of_elements.setdefault(elements, []).append(record.evaluation)
    for elements, evaluations in of_elements.items():
        trained = [measured for evaluation in evaluations if (measured := evaluation.equivariance) is not None]
        one, other = errors_of(evaluation.equivariance_untrained for evaluation in evaluations), errors_of(trained)
        bound = trained[0].bound
        yield (
            of.row,
            of.training,
            trained[0].exactness,
            _mean(one, beside(evaluation.equivariance_untrained for evaluation in evaluations)),
            _mean(other, beside(trained)),
            _largest(one.largest),
            _largest(other.largest),
            Number(NONE if bound is None else _short(bound), bound),
            _held(trained),
            _elements(elements),
        )


def _elements(names: Sequence[str]) -> str:
    """How many, the first and the last; what these two end with is said once: '4: (+4, +0) to (+8, +8) px'."""
    if len(names) < 2:
        return "".join(names) or NONE
    first, last = names[0].split(") ", 1), names[-1].split(") ", 1)
    start = f"{first[0]})" if len(first) == len(last) == 2 and first[1] == last[1] else names[0]
    return f"{len(names)}: {start} to {names[-1]}"


def beside(measured: Iterable[Equivariance | None]) -> tuple[str, ...]:
    """What the error is read against: means over elements and runs, in words.

    Where it was measured, how much the transformation changes features at all. Translations: the error with the
    border, at the size of the images. Scales: two violations of the law and what the pixels alone cost.
    """
    items = [item for item in measured if item is not None]
    # The identity changes nothing and says nothing.
    changes = [value for item in items for name, value in strengths(item.context).items() if name != _IDENTITY]
    with_border = [_context(item, " with the border") for item in items]
    told = [f"{STRENGTH} {_short(fmean(changes))}"] if changes else []
    told += [f"with the border {_short(fmean(values))}"] if (values := _flat(with_border)) else []
    for figure in _OF_SCALES:
        found = [_context(item, f": {figure}") for item in items]
        if not (values := _flat(found)):
            continue
        text = f"{figure} {_short(fmean(values))}"
        if figure == _OF_SCALES[0]:
            pairs = [
                (error, of[name])
                for item, of in zip(items, found, strict=True)
                for name, error in item.errors.items()
                if name in of and error is not None
            ]
            text += f" (farther in {sum(error < wrong for error, wrong in pairs)} of {len(pairs)})"
        told.append(text)
    return tuple(told)


def _context(item: Equivariance, ending: str) -> dict[str, float]:
    """By element."""
    return {
        name.removesuffix(ending): error
        for name, error in item.context.items()
        if name.endswith(ending) and error is not None
    }


def _flat(found: Sequence[dict[str, float]]) -> list[float]:
    return [value for of in found for value in of.values()]


def _mean(errors: Errors, further: tuple[str, ...]) -> Number:
    diverged = (f"{errors.diverged} not finite",) if errors.diverged else ()
    if errors.mean is None:
        return Number(NONE if diverged else NOT_MEASURED, below=(*diverged, *further))
    spread = "" if errors.mean.std is None else f" ± {_short(errors.mean.std)}"
    return Number(_short(errors.mean.mean) + spread, errors.mean.mean, f"n {errors.mean.count}", (*diverged, *further))


def _largest(value: float | None) -> Number:
    return Number(NONE if value is None else _short(value), value)


def _held(measured: Sequence[Equivariance | None]) -> str:
    bounded = [item for item in measured if item is not None and item.held is not None]
    if not bounded:
        return NONE
    broken = sum(not item.held for item in bounded)
    if broken:
        return f"no, in {broken} of {len(bounded)} runs"
    idle = sum(changes_nothing(item.context) for item in bounded)
    return "yes" if not idle else f"yes, but the features do not change in {idle} of {len(bounded)} runs"


def _short(value: float) -> str:
    return "0" if value == 0 else f"{value:.1e}" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
