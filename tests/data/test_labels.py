import numpy as np
import pytest

from hssl.data.labels import balanced_choice, encode_labels, hold_out, join_labels
from hssl.data.split import Labelled
from hssl.errors import DataError

LABELS = np.repeat([0, 1, 2], [50, 30, 4])


def _part(values: list, names: str | None = None, where: str = "here") -> Labelled:
    return Labelled(where, np.array(values), None if names is None else tuple(names.split()))


def _encoded(train: Labelled, test: Labelled) -> tuple[list[int], list[int], str]:
    first, second, names = encode_labels(train, test, [])
    return first.tolist(), second.tolist(), " ".join(names)


@pytest.mark.parametrize(
    ("train", "test", "encoded"),
    [
        # Words are the names, in their order; so are numbers, where nobody says what they mean.
        (_part(["cat", "ape", "cat"]), _part(["cat"]), ([1, 0, 1], [1], "ape cat")),
        (_part([26, 1]), _part([26]), ([1, 0], [1], "1 26")),
        (_part([100, 9]), _part([9]), ([1, 0], [0], "9 100")),
        # Declared names keep their order, and those without images count.
        (_part([1, 0], "x a b"), _part([1], "x a b"), ([1, 0], [1], "x a b")),
        # A class is one name, whatever its number in a split.
        (_part([0, 1], "dark bright"), _part([0, 1, 0], "bright dark"), ([0, 1], [1, 0, 1], "dark bright")),
        (_part([0, 1], "a b"), _part([1, 2], "z a b"), ([0, 1], [0, 1], "a b")),
        (_part([0, 2], "a b c"), _part([1], "b c"), ([0, 2], [2], "a b c")),
        (_part([1, 0], "b a"), _part(["a", "b"]), ([1, 0], [1, 0], "b a")),
        (_part(["a", "b"]), _part([2, 0], "b c a"), ([0, 1], [0, 1], "a b")),
        # Numbers are read by the only names that there are.
        (_part([0, 1], "a b"), _part([1]), ([0, 1], [1], "a b")),
        (_part([0, 1]), _part([1], "a b c"), ([0, 1], [1], "a b c")),
    ],
)
def test_labels_of_both_splits_are_positions_in_one_list_of_names(
    train: Labelled, test: Labelled, encoded: tuple[list[int], list[int], str]
) -> None:
    assert _encoded(train, test) == encoded


def test_numbers_that_are_read_by_the_names_of_others_are_told() -> None:
    notes: list[str] = []
    encode_labels(_part([0, 1], "a b", "the training file"), _part([1], None, "the test file"), notes)
    assert len(notes) == 1
    assert "no class names are declared in the test file" in notes[0]
    assert "those of the training file" in notes[0]
    # The control: nothing is told where both say what they mean, or neither.
    for names in ("a b", None):
        notes.clear()
        encode_labels(_part([0, 1], names), _part([1], names), notes)
        assert notes == []


def test_one_label_is_none() -> None:
    for train in (_part([3, 3]), _part(["a", "a"]), _part([1, 1], "a b")):
        notes: list[str] = []
        assert encode_labels(train, train, notes) == (None, None, ())
        assert "the one label" in notes[0]
    assert encode_labels(None, None, []) == (None, None, ())


@pytest.mark.parametrize(
    ("train", "test", "says"),
    [
        (_part([0, 1, 2], "a b"), _part([0], "a b"), "0 to 1"),
        (_part([0, 1], "a b"), _part([0, 5], "a b"), "label 5"),
        (_part([0, 1], "a b"), _part([0, 2]), "label 2"),
        (_part([0, -1], "a b"), _part([0], "a b"), "label -1"),
        (_part([0, -7]), _part([0]), "label -7"),
        (_part([0, 0], "ape bee"), _part([1], "ape bee"), "bee"),
        (_part([0, 1], "ape bee"), _part([1], "bee cat"), "'cat'"),
        (_part(["a", "b"]), _part(["a", "zebra"]), "zebra"),
        (_part([0, 1]), _part(["a", "b"]), r"numbers without names in here; words in here"),
    ],
)
def test_labels_that_stand_for_no_class_are_refused(train: Labelled, test: Labelled, says: str) -> None:
    with pytest.raises(DataError, match=says):
        encode_labels(train, test, [])


def test_parts_of_a_split_are_joined_by_name() -> None:
    values, names = join_labels([_part([0, 1], "a b"), _part([0, 1], "b c"), _part(["d", "a"])], [])
    assert (values.tolist(), names) == ([0, 1, 1, 2, 3, 0], ("a", "b", "c", "d"))
    # Of an empty part nothing is asked.
    values, names = join_labels([_part([]), _part(["a", "b"])], [])
    assert (values.tolist(), names) == (["a", "b"], None)
    with pytest.raises(DataError, match="names in several orders"):
        join_labels([_part([0], "a b"), _part([0], "b a"), _part([0])], [])


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
