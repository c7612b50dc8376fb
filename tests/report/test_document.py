"""Numbers as they are written: signs, intervals, p-values, and what is missing."""

import pytest

from hssl.analysis.differences import difference, interval, p_text
from hssl.analysis.summaries import Summary
from hssl.report.document import Number, Table, accuracy, apart, modes_of


def test_a_difference_is_written_with_its_interval() -> None:
    told = difference(Summary(90.0, 0.5, 3), Summary(91.24, 0.5, 3))
    assert told is not None
    assert interval(told) == f"−1.2 (−{-told.low:.1f} to −{-told.high:.1f})"
    assert apart(told).value == told.mean
    assert apart(None) == Number("–")


def test_no_zero_is_negative() -> None:
    told = difference(Summary(90.0, 0.5, 3), Summary(90.01, 0.5, 3))
    assert interval(told).startswith("+0.0 (−")


@pytest.mark.parametrize(
    ("p", "text"), [(None, "–"), (0.5, "0.50"), (1.0, "1.00"), (0.034, "0.034"), (3e-7, "< 0.0001")]
)
def test_p_values(p: float | None, text: str) -> None:
    assert p_text(p) == text


def test_accuracies_tell_how_many_they_are_of() -> None:
    number = accuracy(Summary(91.234, 0.5, 3), run="a-run")
    assert (number.text, number.value, number.detail, number.run) == ("91.2 ± 0.5", 91.234, "n 3", "a-run")
    assert accuracy(None).text == "–"


def test_a_line_has_a_cell_for_each_heading() -> None:
    with pytest.raises(AssertionError, match="has not 2 cells"):
        Table("t", ("a", "b"), (("only one",),))


def test_modes_stand_in_the_papers_order() -> None:
    assert modes_of(["supervised", "h-ssl", "a-ssl", "h-ssl"]) == ("a-ssl", "h-ssl", "supervised")
