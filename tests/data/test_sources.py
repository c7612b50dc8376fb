from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hssl.config import DataConfig
from hssl.data import ImageStore, MappedStore, load_data
from hssl.errors import ConfigurationError, DataError


def _load(root: Path, **fields: object) -> object:
    return load_data(DataConfig(root=str(root), **fields))


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
        (_empty, r"an empty folder[\s\S]*accepted: .*IDX files.*parquet.*save_to_disk.*folder of images"),
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
    with pytest.raises(ConfigurationError, match="did you mean 'mnist'"):
        load_data(DataConfig(name="mnsit"))
    with pytest.raises(ConfigurationError, match=r"--data\.root"):
        load_data(DataConfig(name="folder"))


def test_a_known_name_for_other_images_is_refused(data_root: Path) -> None:
    root = data_root / "cifar10"
    fields = {"resolution": 32, "train_images": 20, "test_images": 10}
    with pytest.raises(DataError, match=r"does not hold mnist[\s\S]*colour images of 10[\s\S]*folder-\* recipe"):
        _load(root, name="mnist", **fields)
    with pytest.raises(DataError, match=r"of 10 classes\n[\s\S]*of 200 classes"):
        _load(root, name="tiny-imagenet", **fields)
    assert _load(root, name="cifar10", **fields).notes == ()
    assert _load(root, name="folder", **fields).notes == ()
    # Made grey on purpose, colour is no contradiction.
    assert _load(root, name="mnist", grey=True, **fields).channels == 1


def test_the_embedded_digits_lie_in_no_folder(data_root: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"embedded[\s\S]*folder-\*"):
        _load(data_root / "mnist", name="digits")


def _flipped(store: ImageStore) -> ImageStore:
    images = store.images.clone()
    images[-1, 0, 3, 3] ^= 1
    return replace(store, images=images)


def test_a_fingerprint_tells_images_labels_and_classes_apart() -> None:
    data = load_data(DataConfig(train_images=20, test_images=10, resolution=8))
    again = load_data(DataConfig(train_images=20, test_images=10, resolution=8))
    assert data.fingerprint() == again.fingerprint() == data.summary()["fingerprint"]
    assert data.summary()["classes"] == [str(digit) for digit in range(10)]
    train, test = data.train, data.test
    assert train.labels is not None
    others = [
        replace(data, train=_flipped(train)),
        replace(data, test=_flipped(test)),
        replace(data, train=replace(train, labels=train.labels.flip(0))),
        replace(data, train=replace(train, labels=None)),
        replace(data, train=replace(train, class_names=tuple("abcdefghij"))),
        replace(data, train=test, test=train),
    ]
    assert len({data.fingerprint(), *(other.fingerprint() for other in others)}) == len(others) + 1


def test_the_home_folder_may_be_abbreviated(data_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(data_root / "mnist")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_data(DataConfig(name="mnist", root="~/mine", train_images=10, test_images=10)).train) == 10


def test_choices_are_balanced_seeded_and_independent_of_each_other() -> None:
    config = DataConfig(train_images=100, test_images=50)
    one, other = load_data(config, seed=0), load_data(config, seed=1)
    assert torch.bincount(one.train.labels).tolist() == [10] * 10
    assert torch.bincount(one.test.labels).tolist() == [5] * 10
    assert not torch.equal(one.train.images, other.train.images)
    assert not torch.equal(one.test.images, other.test.images)
    same = load_data(config.model_copy(update={"test_images": 20}), seed=0)
    assert torch.equal(same.train.images, one.train.images)


def test_more_images_than_there_are_means_all_with_a_note() -> None:
    data = load_data(DataConfig(train_images=5000, test_images=360))
    assert len(data.train) == 1437
    assert len(data.notes) == 1
    assert "5,000" in data.notes[0]
    assert "1,437" in data.notes[0]


def test_fewer_images_than_classes_is_noted_and_keeps_the_classes() -> None:
    data = load_data(DataConfig(train_images=4))
    assert len(data.train.labels.unique()) == 4
    assert data.num_classes == 10
    assert "cannot cover 10 classes" in data.notes[0]


def test_normalisation_comes_from_the_training_store() -> None:
    data = load_data(DataConfig(normalize="standardize", resolution=8))
    batch = data.train.batch(torch.arange(len(data.train)), torch.float64)
    assert abs(batch.mean().item()) < 1e-6
    assert batch.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    assert torch.equal(data.test.mean, data.train.mean)
    assert abs(data.test.batch(torch.arange(len(data.test))).mean().item()) > 1e-4
    plain = load_data(DataConfig(resolution=8))
    assert (plain.train.mean.item(), plain.train.std.item()) == (0, 1)


@pytest.mark.parametrize(("grey", "channels"), [(None, 1), (True, 1), (False, 3)])
def test_the_number_of_channels_can_be_forced(grey: bool | None, channels: int) -> None:
    data = load_data(DataConfig(grey=grey, train_images=20, test_images=20))
    assert data.channels == data.train.images.shape[1] == data.test.images.shape[1] == channels


@pytest.mark.parametrize(
    ("available", "fields", "kind"),
    [
        (2 * 1797 * 64, {}, ImageStore),
        (2 * 1797 * 64 - 2, {}, MappedStore),
        (2 * 1797 * 64 - 2, {"grey": True}, MappedStore),
        (6 * 1797 * 64, {"grey": False}, ImageStore),
        (6 * 1797 * 64 - 2, {"grey": False}, MappedStore),
        (2 * 1797 * 64 - 2, {"train_images": 1000}, ImageStore),
        (2 * 1797 * 64, {"resolution": 9}, MappedStore),
        (2 * 1797 * 64 - 2, {"store": "memory"}, ImageStore),
        (2 * 1797 * 64, {"store": "mapped"}, MappedStore),
        (None, {}, ImageStore),
    ],
)
def test_images_go_to_a_file_when_they_would_take_more_than_half_of_the_memory(
    available: int | None, fields: dict[str, object], kind: type, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    monkeypatch.setattr("hssl.data.sources.available_memory", lambda: available)
    data = load_data(DataConfig(**{"resolution": 8} | fields))
    assert {type(data.train), type(data.test)} == {kind}
    assert data.fingerprint() == load_data(DataConfig(**{"resolution": 8} | fields | {"store": "memory"})).fingerprint()
    chosen = kind is MappedStore and "store" not in fields
    assert ["read from a file" in note for note in data.notes] == [True] * chosen
    assert not any(str(cache) in note for note in data.notes), "notes are kept in records, places on a machine are not"


@pytest.mark.parametrize(("name", "bytes_each"), [("cifar10", 3), ("folder", 3), ("mnist", 1)])
def test_images_of_unknown_colour_count_as_coloured(
    data_root: Path, name: str, bytes_each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(data_root / (name if name != "folder" else "cifar10"))
    fields = {"name": name, "root": root, "resolution": 32, "train_images": 30, "test_images": 10}
    for less, kind in ((0, ImageStore), (2, MappedStore)):
        available = 2 * 40 * 32 * 32 * bytes_each - less
        monkeypatch.setattr("hssl.data.sources.available_memory", lambda available=available: available)
        assert type(load_data(DataConfig(**fields)).train) is kind


def test_the_source_is_one_line() -> None:
    source = load_data(DataConfig()).source
    assert "\n" not in source
    assert "1,437" in source
