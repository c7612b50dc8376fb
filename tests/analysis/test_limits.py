"""What runs show and what they do not: told by their budget and their protocol."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from fakes.records import configuration, record
from hssl.analysis.limits import budget_statement, protocol_statements, share_statement, telling


def test_the_budget_is_told_as_a_share_of_the_papers(tmp_path: Path) -> None:
    # 12 epochs of 5,000 images, where the paper has 500 of 60,000: 0.2 %.
    short = " ".join(budget_statement([record(tmp_path, configuration())]))
    assert "0.2 %" in short
    assert "do not show the accuracies of the paper" in short
    assert "single run" in short
    long = configuration(trainer__epochs=500, data__train_images=60000)
    made = record(tmp_path, long)
    data = made.evaluation.data | {"train_images": 60000}
    whole = " ".join(
        budget_statement([made.model_copy(update={"evaluation": made.evaluation.model_copy(update={"data": data})})])
    )
    assert "100 %" in whole
    assert "do not show" not in whole


def test_protocols_are_told_where_they_bear(tmp_path: Path) -> None:
    def told(transformation: str, **changes: object) -> str:
        return " ".join(protocol_statements([record(tmp_path, configuration(transformation, **changes))]))  # type: ignore[arg-type]

    assert "different pairs" in told("translation")
    assert "different pairs" not in told("rotation")
    assert "zero padding" in told("translation")
    assert "zero padding" not in told("translation", group__circular=True)
    assert "same distribution of pairs" in told("rotation")
    assert "but for BatchNorm" not in told("rotation")
    assert "but for BatchNorm" in told("rotation", views__streams="sampled", evaluation__readout="afterwards")
    assert "only the streams" in told("scale", views__streams="sampled", evaluation__readout="afterwards")
    assert "only the streams" not in told("scale", views__streams="all")


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_what_so_many_seeds_can_tell_apart(runs: int) -> None:
    """Differences by seed whose mean is so many of their deviations have p = 0.05."""
    spread = np.linspace(-1, 1, runs)
    spread /= spread.std(ddof=1)
    assert stats.ttest_1samp(spread + telling(runs), 0).pvalue == pytest.approx(0.05)
    # Twice the spread, whatever their number, is no rule.
    assert abs(stats.ttest_1samp(spread + 2, 0).pvalue - 0.05) > 0.01


def test_other_images_have_no_share(tmp_path: Path) -> None:
    assert share_statement([record(tmp_path, configuration(data__name="digits"))]) == []
