"""Images held out of the training set, to choose settings on: never test images, never trained on, always the same."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hssl.config import DataConfig
from hssl.data import load_data
from hssl.data.store import Store
from hssl.errors import DataError
from small_data import write_mnist


def content(store: Store) -> set[bytes]:
    pixels: Tensor = store.pixels(torch.arange(len(store)))
    return {image.numpy().tobytes() for image in pixels}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_mnist(tmp_path / "mnist", train=60, test=30)


def test_they_are_training_images_that_are_not_trained_on(root: Path) -> None:
    plain = load_data(DataConfig(name="mnist", root=str(root), resolution=28))
    held = load_data(DataConfig(name="mnist", root=str(root), resolution=28, validation_images=20))
    assert (len(held.train), len(held.test)) == (40, 20)
    assert content(held.train) | content(held.test) == content(plain.train)
    assert not content(held.train) & content(held.test)
    assert not content(held.test) & content(plain.test)
    assert held.test.labels is not None
    assert torch.bincount(held.test.labels).tolist() == [2] * 10
    assert any("not on test images" in note for note in held.notes)


def test_they_are_the_same_whatever_is_trained_on(root: Path) -> None:
    fields = {"name": "mnist", "root": str(root), "resolution": 28, "validation_images": 20}
    whole, fewer = (load_data(DataConfig(**fields, train_images=count)) for count in (None, 20))
    assert content(fewer.test) == content(whole.test)
    assert content(fewer.train) < content(whole.train)


def test_without_a_test_split_the_images_for_the_test_are_in_neither() -> None:
    plain = load_data(DataConfig(name="digits", resolution=28, resize_to=24, test_fraction=0.2))
    held = load_data(DataConfig(name="digits", resolution=28, resize_to=24, test_fraction=0.2, validation_images=300))
    assert len(held.test) == 300
    assert len(held.train) == len(plain.train) - 300
    tested = content(plain.test) - content(plain.train)
    assert not (content(held.train) | content(held.test)) & tested


def test_too_many_are_refused(root: Path) -> None:
    with pytest.raises(DataError, match="too few training images to hold that many out"):
        load_data(DataConfig(name="mnist", root=str(root), resolution=28, validation_images=55))
