import numpy as np
import pytest

from hssl.data.labels import balanced_choice, encode_labels, hold_out
from hssl.errors import DataError

LABELS = np.repeat([0, 1, 2], [50, 30, 4])


def test_names_are_positions_and_absent_names_come_from_the_labels() -> None:
    train, test, names = encode_labels(np.array(["cat", "ape", "cat"]), np.array(["cat"]), None)
    assert (train.tolist(), test.tolist(), names) == ([1, 0, 1], [1], ("ape", "cat"))
    assert encode_labels(np.array([26, 1]), np.array([26]), None)[2] == ("1", "26")
    assert encode_labels(np.array([1, 0]), np.array([1]), ("x", "y"))[0].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("train", "test", "names", "says"),
    [
        ([0, 1, 2], [0], ("a", "b"), "0 to 1"),
        ([0, 1], [0, 5], ("a", "b"), "label 5"),
        ([0, -1], [0], ("a", "b"), "label -1"),
        ([0, -7], [0], None, "label -7"),
        ([0, 0], [1], ("ape", "bee"), "bee"),
        (["a", "b"], ["a", "zebra"], None, "zebra"),
    ],
)
def test_labels_that_stand_for_no_class_are_refused(train: list, test: list, names: tuple | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        encode_labels(np.array(train), np.array(test), names)


def test_a_balanced_choice_takes_as_many_of_each_class_as_there_are() -> None:
    counts = np.bincount(LABELS[balanced_choice(LABELS, len(LABELS), 24, (0, 0))])
    assert counts.tolist() == [10, 10, 4]
    # The control: a uniform choice follows the sizes of the classes.
    uniform = np.bincount(LABELS[balanced_choice(None, len(LABELS), 24, (0, 0))], minlength=3)
    assert uniform[0] > uniform[1] > uniform[2]


def test_a_choice_is_seeded_distinct_and_ascending() -> None:
    one, same, other = (balanced_choice(LABELS, len(LABELS), 30, (seed, 0)) for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()
    assert (np.diff(one) > 0).all()


def test_choices_are_the_same_for_ever() -> None:
    assert balanced_choice(None, 20, 5, (3, 0)).tolist() == [0, 1, 4, 7, 9]


def test_hold_out_is_stratified_and_leaves_every_class_in_training() -> None:
    kept, out = hold_out(LABELS, len(LABELS), 21, (0,))
    assert sorted([*kept, *out]) == list(range(len(LABELS)))
    counts = np.bincount(LABELS[out], minlength=3)
    assert np.abs(counts - np.array([12.5, 7.5, 1])).max() <= 1
    kept, out = hold_out(np.array([0, 1, 2, 2]), 4, 3, (0,))
    assert set(np.array([0, 1, 2, 2])[kept]) == {0, 1, 2}
    assert len(out) == 1
