from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hssl.data import load_data
from hssl.data.settings import DataSettings
from hssl.data.sources import read_digits
from hssl.errors import ConfigurationError, DataError


def _load(root: Path, **fields: object) -> object:
    return load_data(DataSettings(root=str(root), **fields))


def _empty(root: Path) -> Path:
    return root


def _foreign(root: Path) -> Path:
    for name in ("a.txt", "b.txt", "c.csv"):
        (root / name).write_text("x")
    (root / "folder").mkdir()
    return root


def _missing(root: Path) -> Path:
    return root / "nowhere"


def _file(root: Path) -> Path:
    (root / "x.parquet").write_text("x")
    return root / "x.parquet"


@pytest.mark.parametrize("name", ["mnist", "cifar10", "folder", "hub:a/b"])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_empty, r"an empty folder[\s\S]*expected: .*IDX files.*parquet.*save_to_disk.*folder of images"),
        (_foreign, r"2 x \.txt.*1 x \.csv.*1 x folder|2 x \.txt.*1 x folder.*1 x \.csv"),
        (_missing, "does not exist"),
        (_file, "is a file"),
    ],
)
def test_a_root_that_holds_nothing_is_refused_whatever_the_name(
    tmp_path: Path, make: object, says: str, name: str
) -> None:
    root = make(tmp_path)
    with pytest.raises(DataError, match=says) as caught:
        _load(root, name=name)
    assert str(root) in str(caught.value)


def test_a_folder_below_which_it_is_not_allowed_to_look_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hssl.data.folder.has_images", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        _load(tmp_path, name="folder")


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"there is no data set .mnsit.[\s\S]*mnist"):
        load_data(DataSettings(name="mnsit"))
    with pytest.raises(ConfigurationError, match=r"--data\.root"):
        load_data(DataSettings(name="folder"))


def test_a_known_name_for_other_images_is_refused(data_set: Callable[[str], Path]) -> None:
    root = data_set("cifar10")
    fields = {"resolution": 32, "train_images": 20, "test_images": 10}
    with pytest.raises(DataError, match=r"does not hold mnist[\s\S]*colour images of 10[\s\S]*folder-\* recipe"):
        _load(root, name="mnist", **fields)
    with pytest.raises(DataError, match=r"of 10 classes\n[\s\S]*of 200 classes"):
        _load(root, name="tiny-imagenet", **fields)
    assert _load(root, name="cifar10", **fields).notes == ()
    assert _load(root, name="folder", **fields).notes == ()
    # Made grey on purpose, colour is no contradiction.
    assert _load(root, name="mnist", grey=True, **fields).channels == 1


def test_the_embedded_digits_lie_in_no_folder(data_set: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigurationError, match=r"embedded[\s\S]*folder-\*"):
        _load(data_set("mnist"), name="digits")


def test_the_home_folder_may_be_abbreviated(
    data_set: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine").symlink_to(data_set("mnist"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_data(DataSettings(name="mnist", root="~/mine", train_images=10, test_images=10)).train) == 10


def test_the_split_of_the_digits_is_complete_stratified_and_of_the_stated_size() -> None:
    source = read_digits()
    train, test = source.train, source.held_out[0]
    assert (len(train), len(test)) == (1437, 360)
    assert train.labels is not None
    assert test.labels is not None
    whole = np.bincount(np.concatenate([train.labels, test.labels]))
    assert np.abs(np.bincount(test.labels) - whole * 360 / 1797).max() <= 1
    assert train.pixels.array.max() == 255
    assert train.pixels.array.min() == 0
    assert 16 <= len(np.unique(train.pixels.array)) <= 17


def test_the_seed_of_a_run_does_not_move_the_split_of_the_digits() -> None:
    one, other = load_data(DataSettings(), seed=0), load_data(DataSettings(), seed=1)
    assert torch.equal(one.train.images, other.train.images)
    assert torch.equal(one.test.images, other.test.images)
    # The control: it does move a choice of images.
    few = DataSettings(train_images=100)
    assert not torch.equal(load_data(few, seed=0).train.images, load_data(few, seed=1).train.images)


def test_no_digit_is_in_both_splits() -> None:
    data = load_data(DataSettings(resolution=8))
    train = {bytes(image.numpy().tobytes()) for image in data.train.images}
    assert len(train) > 1400
    assert not train & {bytes(image.numpy().tobytes()) for image in data.test.images}
