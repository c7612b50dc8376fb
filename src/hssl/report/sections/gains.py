"""What training gained over random weights: told in a sentence or two, and measure by measure. Imports no torch.

A network is measured before its first step as it is after its last, and the two are compared seed by seed. Older
records have no measurement before training: there the frozen runs of the row stand for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hssl.analysis.chance import chance_loss
from hssl.analysis.differences import Difference, difference, holm, interval, signed
from hssl.analysis.summaries import MEASURES, NONE, Summary, Trained, listed, measured, summarise, within_a_sentence
from hssl.report.document import Line, Number, Section, Table
from hssl.runs.record import RunRecord

_BEST_FIRST = ("few_labels", "linear_probe", "knn", "readout")
"""Measures by how little of their own they learn: what is told in a sentence is the first that there is."""
_LABEL_FREE = {
    "effective_rank": "Effective rank",
    "alignment": "Alignment",
    "uniformity": "Uniformity",
    "neighbour_agreement": "Neighbours kept",
}
_SIGNIFICANT = 0.05


class _Gain(NamedTuple):
    row: str
    training: str
    mean: float
    seeds: int
    told: Difference | None


def gains_sentence(found: Iterable[Trained]) -> str:
    """Whether self-supervised training learned more than random weights: by how much, by what, over how many seeds.

    Shown is what a paired t-test shows at 5 %, two-sided, corrected by Holm's method over the rows of a way of
    training, as in the tests of the claims. Empty where nothing can be compared.
    """
    by_row: dict[str, list[Trained]] = {}
    for item in found:
        by_row.setdefault(item.row, []).append(item)
    measure, gains = next(((name, gains) for name in _BEST_FIRST if (gains := _gains(by_row, name))), ("", []))
    if not gains:
        return ""
    shown = [gain for _, of in _by_training(gains) for gain in _shown(of)]
    none = [gain for gain in gains if gain.mean <= 0]
    open_ = [gain for gain in gains if gain not in shown and gain not in none]
    seeds = sorted({gain.seeds for gain in gains})
    over = " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))) + (" seed" if seeds == [1] else " seeds")
    by = f"by {within_a_sentence(measure)} over {over}"
    several = len(by_row) > 1
    parts = []
    learned = _by_training(shown)
    for number, (training, of) in enumerate(learned):
        every = [gain for gain in gains if gain.training == training]
        rows = f" in {len(of)} of {len(every)} row{'' if len(every) == 1 else 's'}" if several else ""
        how = "learned more than random weights" if number == 0 else "too"
        last = "and " if number and number == len(learned) - 1 else ""
        parts.append(f"{last}{training} {how}, by {_points(of)}{rows}")
    told = [", ".join(parts)] if parts else []
    for training, of in _by_training(open_):
        them = "them" if told else "random weights"
        cannot = "cannot" if seeds == [1] else "do not"
        told.append(f"{training} is {_points(of)} above {them}{_where(of, several)}, which {over} {cannot} show")
    sentences = [f"{by[0].upper()}{by[1:]}, {'; '.join(told)}."] if told else []
    if none:
        nothing = [f"{training} ({_points(of)}{_where(of, several)})" for training, of in _by_training(none)]
        sentences.append(f"Nothing was gained by {listed(nothing)}{'' if told else f' over random weights, {by}'}.")
    return " ".join(sentences)


def gains(found: Sequence[Trained]) -> Section | None:
    """Every measure before and after training, and the difference, of all that was trained."""
    here = [
        item
        for item in found
        if any(record.mode != "frozen" and record.evaluation.untrained for record in item.records)
    ]
    if not here:
        return None
    there = [measure for measure in MEASURES if any(_before(item.records, measure) for item in here)]
    free = [name for name in _LABEL_FREE if any(_label_free(item.records, name, after=True) for item in here)]
    lines: list[Line] = []
    for item in here:
        accuracies = [
            _change(measured(item.records, measure), _before(item.records, measure), "{:.1f}") for measure in there
        ]
        figures = [
            _change(_label_free(item.records, name, True), _label_free(item.records, name, False), "{:.2f}", plain=True)
            for name in free
        ]
        lines.append((item.row, item.training, *accuracies, *figures))
    headings = ("Row", "Training", *(MEASURES[measure] for measure in there), *(_LABEL_FREE[name] for name in free))
    return Section(
        "What training gained",
        (
            "The same network before its first step and after its last, measured alike. Accuracies: the gain in points "
            "with its 95 % interval, paired by seed; below it the means before and after. Then what needs no labels, "
            "means before and after: the effective rank is how many directions features use; alignment the squared "
            "distance of an image's feature from its transformed copy's on the sphere (0 is invariant); uniformity how "
            "evenly features cover the sphere (lower is more); neighbours kept the share of nearest neighbours that an "
            "image and its transformed copy have in common.",
        ),
        tables=(Table("gains", headings, tuple(lines), names=2),),
    )


def _gains(by_row: Mapping[str, Sequence[Trained]], measure: str) -> list[_Gain]:
    found = []
    for row, items in by_row.items():
        frozen = [item.records for item in items if item.records and item.records[0].mode == "frozen"]
        for item in items:
            if not item.records or chance_loss(item.records[0]) is None:
                continue
            after = measured(item.records, measure)
            before = _before(item.records, measure) or (measured(frozen[0], measure) if len(frozen) == 1 else None)
            if after is None or before is None or not (seeds := after.by_seed.keys() & before.by_seed.keys()):
                continue
            mean = sum(after.by_seed[seed] - before.by_seed[seed] for seed in seeds) / len(seeds)
            found.append(_Gain(row, item.training, mean, len(seeds), difference(after, before)))
    return found


def _before(records: Sequence[RunRecord], measure: str) -> Summary | None:
    """The accuracy of the same networks at their first weights."""
    return summarise(
        {record.seed: (record.evaluation.untrained.get(measure) or {}).get("accuracy") for record in records}
    )


def _label_free(records: Sequence[RunRecord], name: str, after: bool) -> Summary | None:
    def figures(record: RunRecord) -> Mapping[str, Any]:
        evaluation = record.evaluation
        return (evaluation.label_free if after else evaluation.untrained.get("label_free")) or {}

    return summarise({record.seed: figures(record).get(name) for record in records})


def _change(after: Summary | None, before: Summary | None, shape: str, plain: bool = False) -> Number:
    if after is None or before is None:
        return Number(NONE)
    ends = signed(f"{shape.format(before.mean)} → {shape.format(after.mean)}")
    if plain:
        return Number(ends, after.mean)
    told = difference(after, before)
    if told is None:
        return Number(signed(f"{after.mean - before.mean:+z.1f}"), after.mean - before.mean, below=(ends,))
    return Number(interval(told), told.mean, f"n {told.count}", (ends,))


def _shown(family: Sequence[_Gain]) -> list[_Gain]:
    tested = [(gain, gain.told.p) for gain in family if gain.told is not None]
    corrected = holm([p for _, p in tested])
    return [gain for (gain, _), p in zip(tested, corrected, strict=True) if p < _SIGNIFICANT and gain.mean > 0]


def _by_training(gains: Sequence[_Gain]) -> list[tuple[str, list[_Gain]]]:
    names = dict.fromkeys(gain.training for gain in gains)
    return [(name, [gain for gain in gains if gain.training == name]) for name in names]


def _points(of: Sequence[_Gain]) -> str:
    low, high = min(gain.mean for gain in of), max(gain.mean for gain in of)
    ends = dict.fromkeys(f"{end:.1f}" if low > 0 else f"{end:+z.1f}" for end in (low, high))
    return signed(" to ".join(ends)) + " points"


def _where(of: Sequence[_Gain], several: bool) -> str:
    return f" in {listed([gain.row for gain in of])}" if several else ""
