from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from hssl.data import ImageStore, MappedStore, Store, load_data
from hssl.data.settings import DataSettings
from hssl.errors import DataError
from small_data import write_mnist


def _flipped(store: ImageStore) -> ImageStore:
    images = store.images.clone()
    images[-1, 0, 3, 3] ^= 1
    return replace(store, images=images)


def test_a_fingerprint_tells_images_labels_and_classes_apart() -> None:
    data = load_data(DataSettings(train_images=20, test_images=10, resolution=8))
    again = load_data(DataSettings(train_images=20, test_images=10, resolution=8))
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


def test_choices_are_balanced_seeded_and_independent_of_each_other() -> None:
    config = DataSettings(train_images=100, test_images=50)
    one, other = load_data(config, seed=0), load_data(config, seed=1)
    assert torch.bincount(one.train.labels).tolist() == [10] * 10
    assert torch.bincount(one.test.labels).tolist() == [5] * 10
    assert not torch.equal(one.train.images, other.train.images)
    assert not torch.equal(one.test.images, other.test.images)
    same = load_data(config.model_copy(update={"test_images": 20}), seed=0)
    assert torch.equal(same.train.images, one.train.images)


def test_more_images_than_there_are_means_all_with_a_note() -> None:
    data = load_data(DataSettings(train_images=5000, test_images=360))
    assert len(data.train) == 1437
    assert len(data.notes) == 1
    assert "5,000" in data.notes[0]
    assert "1,437" in data.notes[0]


def test_fewer_images_than_classes_is_noted_and_keeps_the_classes() -> None:
    data = load_data(DataSettings(train_images=4))
    assert len(data.train.labels.unique()) == 4
    assert data.num_classes == 10
    assert "cannot cover 10 classes" in data.notes[0]


def test_normalisation_comes_from_the_training_store() -> None:
    data = load_data(DataSettings(normalize="standardize", resolution=8))
    batch = data.train.batch(torch.arange(len(data.train)), torch.float64)
    assert abs(batch.mean().item()) < 1e-6
    assert batch.std(correction=0).item() == pytest.approx(1, abs=1e-6)
    assert torch.equal(data.test.mean, data.train.mean)
    assert abs(data.test.batch(torch.arange(len(data.test))).mean().item()) > 1e-4
    plain = load_data(DataSettings(resolution=8))
    assert (plain.train.mean.item(), plain.train.std.item()) == (0, 1)


@pytest.mark.parametrize(("grey", "channels"), [(None, 1), (True, 1), (False, 3)])
def test_the_number_of_channels_can_be_forced(grey: bool | None, channels: int) -> None:
    data = load_data(DataSettings(grey=grey, train_images=20, test_images=20))
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
    monkeypatch.setattr("hssl.data.data_sets.available_memory", lambda: available)
    data = load_data(DataSettings(**{"resolution": 8} | fields))
    assert {type(data.train), type(data.test)} == {kind}
    assert (
        data.fingerprint() == load_data(DataSettings(**{"resolution": 8} | fields | {"store": "memory"})).fingerprint()
    )
    chosen = kind is MappedStore and "store" not in fields
    assert ["read from a file" in note for note in data.notes] == [True] * chosen
    assert not any(str(cache) in note for note in data.notes), "notes are kept in records, places on a machine are not"


@pytest.mark.parametrize(("name", "bytes_each"), [("cifar10", 3), ("folder", 3), ("mnist", 1)])
def test_images_of_unknown_colour_count_as_coloured(
    data_set: Callable[[str], Path], name: str, bytes_each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(data_set(name if name != "folder" else "cifar10"))
    fields = {"name": name, "root": root, "resolution": 32, "train_images": 30, "test_images": 10}
    for less, kind in ((0, ImageStore), (2, MappedStore)):
        available = 2 * 40 * 32 * 32 * bytes_each - less
        monkeypatch.setattr("hssl.data.data_sets.available_memory", lambda available=available: available)
        assert type(load_data(DataSettings(**fields)).train) is kind


def test_the_source_is_one_line() -> None:
    source = load_data(DataSettings()).source
    assert "\n" not in source
    assert "1,437" in source


def test_grey_images_beside_coloured_ones_keep_their_statistics(tmp_path: Path) -> None:
    for index in range(8):
        for split, mode in (("train", "L"), ("test", "RGB")):
            path = tmp_path / split / f"{index}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new(mode, (8, 8), 30 * index if mode == "L" else (30 * index, 0, 9)).save(path)
    fields = {"name": "folder", "root": str(tmp_path), "resolution": 8, "normalize": "standardize"}
    for store in ("memory", "mapped"):
        data = load_data(DataSettings(**fields, store=store))
        grey = load_data(DataSettings(**fields, store=store, grey=True))
        assert (data.train.shape, grey.train.shape) == ((8, 3, 8, 8), (8, 1, 8, 8))
        assert torch.equal(data.train.mean, grey.train.mean.expand(3))
        assert torch.equal(data.train.std, grey.train.std.expand(3))
        assert torch.equal(data.train.pixels(torch.arange(8)), grey.train.pixels(torch.arange(8)).expand(-1, 3, -1, -1))


def content(store: Store) -> set[bytes]:
    return {image.numpy().tobytes() for image in store.pixels(torch.arange(len(store)))}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_mnist(tmp_path / "mnist", train=60, test=30)


def test_validation_images_are_training_images_that_are_not_trained_on(root: Path) -> None:
    plain = load_data(DataSettings(name="mnist", root=str(root), resolution=28))
    held = load_data(DataSettings(name="mnist", root=str(root), resolution=28, validation_images=20))
    assert (len(held.train), len(held.test)) == (40, 20)
    assert content(held.train) | content(held.test) == content(plain.train)
    assert not content(held.train) & content(held.test)
    assert not content(held.test) & content(plain.test)
    assert held.test.labels is not None
    assert torch.bincount(held.test.labels).tolist() == [2] * 10
    assert any("not on test images" in note for note in held.notes)


def test_validation_images_are_the_same_whatever_is_trained_on(root: Path) -> None:
    fields = {"name": "mnist", "root": str(root), "resolution": 28, "validation_images": 20}
    whole, fewer = (load_data(DataSettings(**fields, train_images=count)) for count in (None, 20))
    assert content(fewer.test) == content(whole.test)
    assert content(fewer.train) < content(whole.train)


def test_without_a_test_split_the_images_for_the_test_are_not_among_validation_images() -> None:
    plain = load_data(DataSettings(name="digits", resolution=28, resize_to=24, test_fraction=0.2))
    held = load_data(DataSettings(name="digits", resolution=28, resize_to=24, test_fraction=0.2, validation_images=300))
    assert len(held.test) == 300
    assert len(held.train) == len(plain.train) - 300
    tested = content(plain.test) - content(plain.train)
    assert not (content(held.train) | content(held.test)) & tested


def test_too_many_validation_images_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match="too few training images to hold that many out"):
        load_data(DataSettings(name="mnist", root=str(root), resolution=28, validation_images=55))
