"""What training gained over random weights: its sentence and its table say what the records say, and nothing more."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fakes.records import configuration, record
from hssl.analysis.summaries import Trained, comparison_table
from hssl.config import Mode, Transformation
from hssl.report.document import Number
from hssl.report.sections.gains import gains, gains_sentence
from hssl.runs.record import RunRecord

BEFORE = [57.0, 58.2, 56.1, 57.4]
"""10-shot accuracies of random weights, by seed."""


def runs(
    folder: Path, gained: list[float], mode: Mode = "h-ssl", transformation: Transformation = "scale", **missing: Any
) -> list[RunRecord]:
    """Runs whose 10-shot accuracy is so many points above that of their first weights, by seed."""
    found = []
    for seed, (before, points) in enumerate(zip(BEFORE, gained, strict=False)):
        made = record(folder, configuration(transformation, mode, seed))
        assert made.evaluation.few_labels is not None
        after = made.evaluation.few_labels.model_copy(update={"accuracy": before + points})
        untrained = {**made.evaluation.untrained, "few_labels": {"accuracy": before, "protocol": "10 labels a class"}}
        changed = {"few_labels": after, "untrained": untrained} | missing
        found.append(made.model_copy(update={"evaluation": made.evaluation.model_copy(update=changed)}))
    return found


def told(*records: list[RunRecord]) -> str:
    return gains_sentence([row.trained for row in comparison_table([record for some in records for record in some])])


def test_what_is_shown_is_told_in_one_sentence(tmp_path: Path) -> None:
    h, a = runs(tmp_path, [16.0, 17.1, 15.8, 16.4]), runs(tmp_path, [18.0, 19.1, 18.5, 18.2], "a-ssl")
    assert told(h, a) == (
        "By 10-shot over 4 seeds, A-SSL learned more than random weights, by 18.4 points, "
        "and H-SSL too, by 16.3 points."
    )


def test_three_ways_of_training_are_listed(tmp_path: Path) -> None:
    three = [runs(tmp_path, [16.0, 17.1, 15.8, 16.4], mode) for mode in ("a-ssl", "h-ssl", "hybrid")]
    assert ", by 16.3 points, H-SSL too, by 16.3 points, and Hybrid too, by 16.3 points." in told(*three)


def test_nothing_gained_is_said(tmp_path: Path) -> None:
    h, a = runs(tmp_path, [-6.0, -5.1, -5.8, -6.4]), runs(tmp_path, [18.0, 19.1, 18.5, 18.2], "a-ssl")
    assert told(h, a) == (
        "By 10-shot over 4 seeds, A-SSL learned more than random weights, by 18.4 points. "
        "Nothing was gained by H-SSL (−5.8 points)."
    )
    assert told(h) == "Nothing was gained by H-SSL (−5.8 points) over random weights, by 10-shot over 4 seeds."


def test_what_may_be_chance_is_not_called_learned(tmp_path: Path) -> None:
    spread = [9.0, -6.0, 12.0, -5.0]
    assert stats.ttest_1samp(spread, 0).pvalue > 0.05
    assert told(runs(tmp_path, spread)) == (
        "By 10-shot over 4 seeds, H-SSL is 2.5 points above random weights, which 4 seeds do not show."
    )
    # Nor is what a single seed gained, however much.
    assert told(runs(tmp_path / "one", [16.0])) == (
        "By 10-shot over 1 seed, H-SSL is 16.0 points above random weights, which 1 seed cannot show."
    )


def test_p_values_are_corrected_over_what_is_compared(tmp_path: Path) -> None:
    # p = 0.04 alone.
    near = [1.0, 5.6, 4.7, 2.9]
    assert 0.025 < stats.ttest_1samp(near, 0).pvalue < 0.05
    alone = runs(tmp_path, near)
    assert "learned more" in told(alone)
    open_ = [9.0, -6.0, 12.0, -5.0]
    assert "learned more" not in told(alone, runs(tmp_path, open_, transformation="rotation"))
    # As in the tests of the claims, another way of training is a family of its own.
    assert "H-SSL learned more" in told(alone, runs(tmp_path, open_, "a-ssl"))


def test_rows_are_counted(tmp_path: Path) -> None:
    learned = [
        runs(tmp_path, [16.0, 17.1, 15.8, 16.4]),
        runs(tmp_path, [8.0, 7.1, 8.8, 8.4], transformation="rotation"),
    ]
    failed = runs(tmp_path, [-1.0, -0.2, -0.8, -0.6], transformation="translation")
    assert told(*learned, failed) == (
        "By 10-shot over 4 seeds, H-SSL learned more than random weights, by 8.1 to 16.3 points in 2 of 3 rows. "
        "Nothing was gained by H-SSL (−0.7 points in MNIST · translation · CNN)."
    )


def test_older_records_are_compared_with_frozen_runs(tmp_path: Path) -> None:
    old = {"few_labels": None, "untrained": {}, "label_free": None}
    h, frozen = (runs(tmp_path, [0.0] * 4, mode, **old) for mode in ("h-ssl", "frozen"))
    accuracies = [
        [item.evaluation.linear_probe.accuracy for item in side if item.evaluation.linear_probe] for side in (h, frozen)
    ]
    points = np.subtract(*accuracies)
    assert told(h, frozen) == (
        f"By linear probe over 4 seeds, H-SSL learned more than random weights, by {points.mean():.1f} points."
    )
    assert told(h) == ""
    assert gains([row.trained for row in comparison_table([*h, *frozen])]) is None


def test_the_table_has_the_gain_of_each_measure(tmp_path: Path) -> None:
    h, frozen = runs(tmp_path, [16.0, 17.1, 15.8, 16.4]), runs(tmp_path, [0.0] * 4, "frozen")
    section = gains([Trained("a row", "H-SSL", h), Trained("a row", "Frozen", frozen)])
    assert section is not None
    (table,) = section.tables
    (line,) = table.lines
    cells = dict(zip(table.headings, line, strict=True))
    shown = cells["10-shot"]
    interval = stats.ttest_1samp([16.0, 17.1, 15.8, 16.4], 0).confidence_interval(0.95)
    assert isinstance(shown, Number)
    assert shown.value == pytest.approx(16.325)
    assert shown.text == f"+16.3 (+{interval.low:.1f} to +{interval.high:.1f})"
    assert (shown.detail, shown.below) == ("n 4", ("57.2 → 73.5",))
    assert cells["Effective rank"] == Number("12.50 → 18.75", 18.75)
    assert cells["Uniformity"] == Number("−2.10 → −3.15", pytest.approx(-3.15))
    assert {"Readout", "Linear probe", "kNN", "Alignment", "Neighbours kept"} <= cells.keys()


def test_without_labels_what_needs_none_is_told(tmp_path: Path) -> None:
    made = [record(tmp_path, configuration(seed=seed, data__name="folder"), labels=False) for seed in range(2)]
    assert told(made) == ""
    section = gains([row.trained for row in comparison_table(made)])
    assert section is not None
    assert section.tables[0].headings[2:] == ("Effective rank", "Alignment", "Uniformity", "Neighbours kept")
    assert not re.search("10-shot", str(section.tables))
