import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hssl.data import DataSets, load_data
from hssl.data.settings import DataSettings
from hssl.errors import DataError


def picture(path: Path, value: int = 0, mode: str = "L", size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value,) * len(mode)).save(path)


def classes(root: Path, count: int = 4, first: int = 0) -> None:
    for index, name in enumerate(("ant", "bee")):
        for number in range(count):
            picture(root / name / f"{number}.png", first + 2 * number + index)


def _load(root: Path, **fields: object) -> DataSets:
    return load_data(DataSettings(name="folder", root=str(root), **{"resolution": 8, **fields}))


def _values(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("train", ["train", "Train", "training"])
@pytest.mark.parametrize("test", ["test", "val", "valid", "validation"])
def test_train_and_test_folders_with_classes(tmp_path: Path, train: str, test: str) -> None:
    classes(tmp_path / train)
    classes(tmp_path / test, 2, 100)
    data = _load(tmp_path)
    assert _values(data.train.images) == [0, 2, 4, 6, 1, 3, 5, 7]
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4
    assert _values(data.test.images) == [100, 102, 101, 103]
    assert data.train.class_names == ("ant", "bee")
    assert (data.channels, data.num_classes, data.notes) == (1, 2, ())


def test_one_folder_is_divided_the_same_for_every_seed(tmp_path: Path) -> None:
    classes(tmp_path, 10)
    one, other = (
        _load(tmp_path, test_fraction=0.2),
        load_data(DataSettings(name="folder", root=str(tmp_path), resolution=8, test_fraction=0.2), seed=5),
    )
    assert sorted(_values(one.train.images) + _values(one.test.images)) == list(range(20))
    assert torch.equal(one.test.images, other.test.images)
    assert torch.bincount(one.test.labels).tolist() == [2, 2]
    assert "4 of 20 images are held out" in one.notes[0]


def test_flat_folders_have_no_labels(tmp_path: Path) -> None:
    for number in range(10):
        picture(tmp_path / f"{number}.png", number)
    data = _load(tmp_path)
    assert data.train.labels is None
    assert data.test.labels is None
    assert (len(data.train), len(data.test), data.num_classes) == (9, 1, None)


def test_one_sub_folder_is_no_class(tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / "photos" / f"{number}.png", number)
    assert _load(tmp_path).num_classes is None


def test_nested_images_belong_to_the_outermost_class(tmp_path: Path) -> None:
    for number in range(4):
        picture(tmp_path / "ant" / "2021" / "may" / f"{number}.png", number)
        picture(tmp_path / "bee" / f"{number}.png", number)
    assert _load(tmp_path).train.class_names == ("ant", "bee")


def test_other_files_are_ignored(tmp_path: Path) -> None:
    classes(tmp_path / "train")
    classes(tmp_path / "test")
    (tmp_path / "train" / "readme.txt").write_text("x")
    (tmp_path / "train" / "notes").mkdir()
    (tmp_path / "train" / "notes" / "x.csv").write_text("x")
    picture(tmp_path / "train" / ".thumbnails" / "x.png")
    picture(tmp_path / "train" / "ant" / "._0.png")
    data = _load(tmp_path)
    assert len(data.train) == 8
    assert data.train.class_names == ("ant", "bee")


def test_links_are_followed_once(tmp_path: Path) -> None:
    classes(tmp_path / "elsewhere")
    (tmp_path / "root").mkdir()
    for name in ("ant", "bee"):
        (tmp_path / "root" / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / "ant" / "loop").symlink_to(tmp_path / "elsewhere" / "ant")
    data = _load(tmp_path / "root")
    assert len(data.train) + len(data.test) == 8


def test_any_size_and_mode(tmp_path: Path) -> None:
    sizes = [(8, 8), (100, 30), (3, 7), (31, 64)]
    for number, size in enumerate(sizes):
        picture(tmp_path / "train" / f"{number}.png", 50 + number, size=size)
        picture(tmp_path / "test" / f"{number}.jpg", 50, size=size)
    data = _load(tmp_path, fit="resize")
    assert data.train.images.flatten(1).unique(dim=1).flatten().tolist() == [50, 51, 52, 53]
    picture(tmp_path / "train" / "9.png", 9, "RGBA")
    assert _load(tmp_path, fit="resize").channels == 3
    assert _load(tmp_path, fit="resize", grey=True).channels == 1
    assert _load(tmp_path, fit="resize", grey=False).channels == 3
    with pytest.raises(DataError, match=r"larger than the resolution[\s\S]*train/1.png"):
        _load(tmp_path)


def test_unreadable_images_are_named_and_the_rest_is_used(tmp_path: Path) -> None:
    classes(tmp_path / "train")
    classes(tmp_path / "test")
    (tmp_path / "train" / "ant" / "1.png").write_bytes(b"no image")
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "train" / "bee" / "cut.jpg")
    whole = (tmp_path / "train" / "bee" / "cut.jpg").read_bytes()
    (tmp_path / "train" / "bee" / "cut.jpg").write_bytes(whole[:700])
    data = _load(tmp_path)
    assert _values(data.train.images) == [0, 4, 6, 1, 3, 5, 7]
    assert data.train.labels.tolist() == [0] * 3 + [1] * 4
    assert "left out 2 of 9 training images" in data.notes[0]
    assert "train/ant/1.png (not an image)" in data.notes[0]
    assert "train/bee/cut.jpg" in data.notes[0]
    with pytest.raises(DataError, match=r"train/ant/1\.png"):
        _load(tmp_path, strict=True)


def test_many_unreadable_images_are_counted(tmp_path: Path) -> None:
    classes(tmp_path / "train", 20)
    classes(tmp_path / "test")
    for path in (tmp_path / "train" / "ant").iterdir():
        path.write_bytes(b"")
    note = _load(tmp_path).notes[0]
    assert "left out 20 of 40" in note
    assert "and 10 more" in note


def _nothing_readable(root: Path) -> None:
    classes(root / "train")
    classes(root / "test")
    for path in (root / "train").rglob("*.png"):
        path.write_bytes(b"")


def _beside(root: Path) -> None:
    classes(root / "train")
    classes(root / "test")
    picture(root / "train" / "stray.png")


def _unknown_class(root: Path) -> None:
    classes(root / "train")
    classes(root / "test")
    picture(root / "test" / "wasp" / "0.png")


def _empty_train(root: Path) -> None:
    (root / "train").mkdir(parents=True)
    classes(root / "test")


def _two_images(root: Path) -> None:
    picture(root / "a.png")
    picture(root / "b.png")


def _one_each(root: Path) -> None:
    for name in "abcd":
        picture(root / name / "x.png")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_nothing_readable, "too few training images"),
        (_beside, r"stray\.png"),
        (_unknown_class, "wasp"),
        (_empty_train, "train has no images"),
        (_two_images, "too few images to hold some out"),
        (_one_each, "too few images to hold some out"),
    ],
)
def test_bad_folders_are_refused(tmp_path: Path, make: object, says: str) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=says):
        _load(tmp_path)


@pytest.mark.parametrize("splits", [("test", "val"), ("Test",), ("validation", "dev"), ("test2017", "val2017")])
@pytest.mark.parametrize("beside", [(), ("cat", "dog")])
def test_no_test_image_is_ever_trained_on(tmp_path: Path, splits: tuple[str, ...], beside: tuple[str, ...]) -> None:
    for name in (*splits, *beside):
        classes(tmp_path / name)
    with pytest.raises(DataError, match=f"no training images[\\s\\S]*'{splits[0]}'") as caught:
        _load(tmp_path)
    assert all(f"'{name}'" in str(caught.value) for name in (*splits, *beside))
    # The control: by other names they are classes.
    for name in splits:
        (tmp_path / name).rename(tmp_path / f"my {name}")
    if len(splits + beside) > 1:
        assert _load(tmp_path).num_classes == len(splits + beside)


@pytest.mark.parametrize("names", [("set/train", "set/test"), ("ant/train", "ant/test", "bee/train"), ("ant/a/val",)])
def test_test_images_that_lie_deeper_are_not_trained_on(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        classes(tmp_path / name)
    with pytest.raises(DataError, match=r"test images lies deeper[\s\S]*--data\.root"):
        _load(tmp_path)


def test_a_class_that_is_named_as_the_training_split_is_not_guessed_at(tmp_path: Path) -> None:
    for name in ("apple", "bicycle", "train"):
        for number in range(4):
            picture(tmp_path / name / f"{number}.png", number)
    with pytest.raises(DataError, match=r"whether 'train' in .* is the training split or a class[\s\S]*'apple'"):
        _load(tmp_path)
    # As a class of a split it is one.
    (tmp_path / "all" / "train").mkdir(parents=True)
    for name in ("apple", "bicycle", "train"):
        (tmp_path / name).rename(tmp_path / "all" / "train" / name)
    assert _load(tmp_path / "all").train.class_names == ("apple", "bicycle", "train")


def test_a_class_may_have_a_name_that_only_begins_as_a_split_does(tmp_path: Path) -> None:
    for name in ("train station", "test tube", "valley"):
        for number in range(4):
            picture(tmp_path / name / f"{number}.png", number)
    assert _load(tmp_path).train.class_names == ("test tube", "train station", "valley")


@pytest.mark.parametrize("splits", [("train", "test"), ("train",)])
def test_images_beside_the_splits_are_told(tmp_path: Path, splits: tuple[str, ...]) -> None:
    for name in splits:
        classes(tmp_path / name)
    classes(tmp_path / "unlabelled")
    picture(tmp_path / "cover.png")
    (tmp_path / "docs").mkdir()
    data = _load(tmp_path)
    assert data.train.class_names == ("ant", "bee")
    assert "not used: 'unlabelled', 'cover.png'" in data.notes[0]


def test_of_several_test_folders_the_one_that_is_used_is_told(tmp_path: Path) -> None:
    for name, first in (("train", 0), ("val", 100), ("test", 200)):
        classes(tmp_path / name, 2, first)
    data = _load(tmp_path)
    assert _values(data.test.images) == [200, 202, 201, 203]
    assert data.notes == ("measured on the split 'test', not on 'val'",)


def test_one_class_folder_of_the_test_split_is_a_class(tmp_path: Path) -> None:
    classes(tmp_path / "train")
    for number in range(3):
        picture(tmp_path / "test" / "bee" / f"{number}.png", 100 + number)
    data = _load(tmp_path)
    assert data.test.labels.tolist() == [1] * 3
    assert data.notes == ()
    # The control: of the training split it is none, whatever the test split has.
    for path in (tmp_path / "train" / "ant").iterdir():
        path.rename(tmp_path / "train" / "bee" / f"ant{path.name}")
    data = _load(tmp_path)
    assert (data.num_classes, len(data.train), len(data.test)) == (None, 8, 3)
    assert "the one folder 'bee'" in data.notes[1]


def test_an_empty_class_folder_is_no_class_and_told(tmp_path: Path) -> None:
    for split in ("train", "test"):
        classes(tmp_path / split)
    (tmp_path / "train" / "cat").mkdir()
    data = _load(tmp_path)
    assert data.train.class_names == ("ant", "bee")
    assert "no images are in these folders of the split 'train': 'cat'" in data.notes[0]
    picture(tmp_path / "test" / "cat" / "0.png")
    with pytest.raises(DataError, match=r"no training image has[\s\S]*'cat'"):
        _load(tmp_path)


@pytest.mark.parametrize(
    "foreign",
    [
        ".thumbnails", ".git", "@eaDir", "@EADIR", "__MACOSX", "#recycle", "@Recycle", "$RECYCLE.BIN", "lost+found",
        "System Volume Information",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", [".", "train", "train/ant", "test"])
def test_what_file_servers_add_is_no_class(tmp_path: Path, foreign: str, place: str) -> None:
    for split in ("train", "test"):
        classes(tmp_path / split)
    picture(tmp_path / place / foreign / "0.png")
    picture(tmp_path / place / foreign / "ant" / "0.png")
    data = _load(tmp_path)
    assert (len(data.train), len(data.test), data.train.class_names, data.notes) == (8, 8, ("ant", "bee"), ())


@pytest.mark.parametrize("ending", [".PNG", ".Png"])
def test_endings_in_any_case(tmp_path: Path, ending: str) -> None:
    classes(tmp_path)
    for path in list(tmp_path.rglob("*.png")):
        path.rename(path.with_suffix(ending))
    data = _load(tmp_path)
    assert len(data.train) + len(data.test) == 8


def test_a_folder_that_cannot_be_looked_into_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes(tmp_path)
    scandir = os.scandir

    def refuse(path: object) -> object:
        if str(path).endswith("bee"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"cannot be read[\s\S]*Permission denied.*bee"):
        _load(tmp_path)
