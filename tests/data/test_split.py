import pytest

from hssl.data.split import by_meaning, meaning, meaning_of_file


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"), ("Train", "train"), ("TRAINING", "training"), ("train2017", "train"),
        ("train_set", "train"), ("training images", "training"), ("trainval", "trainval"), ("test", "test"),
        ("Test-Set", "test"),
        ("testing", "testing"), ("val", "val"), ("valid", "valid"), ("validation", "validation"), ("dev", "dev"),
        ("eval", "eval"), ("test 2", "test"),
        # Classes.
        ("train station", None), ("test tube", None), ("value", None), ("trains", None), ("Valentina", None),
        ("", None), ("cat", None), ("my train", None),
    ],
)  # fmt: skip
def test_folders_that_are_splits_are_told_from_those_that_are_classes(name: str, split: str | None) -> None:
    assert meaning(name) == split


@pytest.mark.parametrize(
    ("stem", "split"),
    [
        ("train", "train"), ("train-00000-of-00005", "train"), ("train-00000-of-00001-9e1a04b8", "train"),
        ("train0", "train"), ("trainset", "train"), ("Train_2", "train"), ("cifar10_test", "test"),
        ("data.validation.3", "validation"), ("val-1", "val"), ("mnist-trainval", "trainval"),
        ("value", None), ("retrain", None), ("0000", None), ("train-test", None), ("things", None),
    ],
)  # fmt: skip
def test_the_split_of_a_file_is_a_word_of_its_name(stem: str, split: str | None) -> None:
    assert meaning_of_file(stem) == split


def test_names_are_ordered_by_preference() -> None:
    names = ["val", "extra", "Test", "validation", "training", "train", "dev"]
    assert by_meaning(names) == (["train", "training"], ["Test", "validation", "val", "dev"], ["extra"])
