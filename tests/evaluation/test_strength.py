"""Whether a transformation changes features at all, as reports of any age tell it."""

import pytest

from hssl.evaluation.strength import NOTHING, STRENGTH, changes_nothing, strengths


def test_strengths_are_read_by_element() -> None:
    context = {f"90°: {STRENGTH}": 0.5, f"180°: {STRENGTH}": None, "90°: wrong stream": 2.0, STRENGTH: 3.0}
    assert strengths(context) == {"90°": 0.5}


@pytest.mark.parametrize(
    ("values", "nothing"),
    [((0.0, 0.0), True), ((0.0, NOTHING / 2), True), ((0.0, 2 * NOTHING), False), ((0.0, None), True), ((), False)],
)
def test_one_element_that_acts_is_enough(values: tuple[float | None, ...], nothing: bool) -> None:
    assert changes_nothing({f"{index}: {STRENGTH}": value for index, value in enumerate(values)}) is nothing


def test_an_unknown_strength_is_not_nothing() -> None:
    assert not changes_nothing({})
    assert not changes_nothing({f"90°: {STRENGTH}": None, "90°: wrong stream": 0.0})
