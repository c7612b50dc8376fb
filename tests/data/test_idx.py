import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hssl.data import load_data
from hssl.data.idx import parse_idx
from hssl.data.settings import DataSettings
from hssl.errors import DataError

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, train: int = 12, test: int = 6, side: int = 6) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for count, (images, labels) in ((train, NAMES[:2]), (test, NAMES[2:])):
        pixels = np.arange(count * side * side).reshape(count, side, side) % 256
        (folder / images).write_bytes(idx_bytes(pixels))
        (folder / labels).write_bytes(idx_bytes(np.arange(count) % 3))
    return folder


def _load(root: Path, **fields: object) -> object:
    return load_data(DataSettings(name="folder", root=str(root), resolution=8, **fields))


def test_mnist(data_set: Callable[[str], Path]) -> None:
    data = load_data(DataSettings(name="mnist", root=str(data_set("mnist"))))
    assert (len(data.train), len(data.test), data.channels, data.num_classes) == (60_000, 10_000, 1, 10)
    assert data.train.images.shape[1:] == (1, 29, 29)
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.labels[:3].tolist() == [7, 2, 1]
    assert torch.bincount(data.train.labels).tolist()[:2] == [5923, 6742]
    # 28 in 29: the one row and column of padding lie at the bottom and on the right.
    assert data.train.images[:, :, 28].max() == 0
    assert data.train.images[:, :, :, 28].max() == 0
    assert data.train.images[0].long().sum() == 27525
    assert data.notes == ()
    assert data.train.class_names == tuple("0123456789")


def test_mnist_statistics_are_the_well_known_ones(data_set: Callable[[str], Path]) -> None:
    root = str(data_set("mnist"))
    config = DataSettings(name="mnist", root=root, resolution=28, normalize="standardize", test_images=10)
    data = load_data(config)
    assert data.train.mean.item() == pytest.approx(0.1307, abs=5e-5)
    assert data.train.std.item() == pytest.approx(0.3081, abs=5e-5)
    assert torch.equal(data.test.mean, data.train.mean)
    assert torch.equal(data.test.std, data.train.std)


@pytest.mark.parametrize("form", ["plain", "gzip", "dots", "raw", "MNIST/raw", "gzip without its ending", "upper case"])
def test_every_form_gives_the_same_images(tmp_path: Path, form: str) -> None:
    expected = _load(write_idx(tmp_path / "expected"))
    root = write_idx(tmp_path / "root" / (form if "raw" in form else ""))
    for path in list(root.iterdir()):
        if form == "dots":
            path.rename(root / path.name.replace("-idx", ".idx"))
        elif form == "upper case":
            path.rename(root / path.name.upper())
        elif "gzip" in form:
            content = gzip.compress(path.read_bytes())
            path.unlink()
            (root / (path.name + (".gz" if form == "gzip" else ""))).write_bytes(content)
    data = _load(tmp_path / "root")
    assert torch.equal(data.train.images, expected.train.images)
    assert torch.equal(data.test.labels, expected.test.labels)
    assert len(data.train) == 12


def _damage(root: Path, how: str) -> str:
    """Spoils one file in the named way; returns what the message has to contain."""
    images, labels, test_images, _ = (root / name for name in NAMES)
    content = images.read_bytes()
    packed = images.with_name(images.name + ".gz")
    if how == "missing":
        test_images.unlink()
        return "add t10k-images"
    if how == "cut":
        images.write_bytes(content[:-7])
        return "truncated"
    if how == "cut in the header":
        images.write_bytes(content[:9])
        return "truncated"
    if how == "empty":
        images.write_bytes(b"")
        return "truncated"
    if how == "too long":
        images.write_bytes(content + b"x")
        return "too long"
    if how == "magic":
        images.write_bytes(b"\x89PNG" + content[4:])
        return "not an IDX file"
    if how == "floats":
        images.write_bytes(b"\0\0\x0d\x03" + content[4:])
        return "type 0x0d"
    if how == "labels for images":
        images.write_bytes(labels.read_bytes() + bytes(20))
        return "magic number"
    if how == "counts":
        labels.write_bytes(idx_bytes(np.zeros(11)))
        return "12 images .* 11 labels"
    if how == "no images":
        images.write_bytes(idx_bytes(np.zeros((0, 6, 6))))
        return "no data"
    if how == "cut gzip":
        packed.write_bytes(gzip.compress(content)[:-12])
    elif how == "damaged gzip":
        squeezed = bytearray(gzip.compress(content))
        squeezed[20:40] = bytes(20)
        packed.write_bytes(bytes(squeezed))
    elif how == "checksum":
        squeezed = bytearray(gzip.compress(content))
        squeezed[-6] ^= 255
        packed.write_bytes(bytes(squeezed))
    images.unlink()
    return "truncated or damaged"


@pytest.mark.parametrize(
    "how",
    [
        "missing", "cut", "cut in the header", "empty", "too long", "magic", "floats", "labels for images", "counts",
        "no images", "cut gzip", "damaged gzip", "checksum",
    ],
)  # fmt: skip
def test_bad_files_are_refused_by_name(tmp_path: Path, how: str) -> None:
    root = write_idx(tmp_path)
    assert len(_load(root).train) == 12
    says = _damage(root, how)
    with pytest.raises(DataError, match=says) as caught:
        _load(root)
    assert str(tmp_path) in str(caught.value)


def test_a_test_class_without_training_images_is_refused(tmp_path: Path) -> None:
    root = write_idx(tmp_path)
    (root / NAMES[3]).write_bytes(idx_bytes(np.array([0, 1, 2, 0, 1, 9])))
    with pytest.raises(DataError, match="no training image has"):
        _load(root)


def test_one_training_image_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few training images"):
        _load(write_idx(tmp_path, train=1, test=1))


def test_the_parser_returns_what_was_written(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    (tmp_path / "x").write_bytes(idx_bytes(array))
    assert (parse_idx(tmp_path / "x", extents=3) == array).all()
    with pytest.raises(DataError, match="cannot be read"):
        parse_idx(tmp_path / "nowhere", extents=3)


def test_one_label_value_means_no_labels(tmp_path: Path) -> None:
    root = write_idx(tmp_path)
    for name, count in ((NAMES[1], 12), (NAMES[3], 6)):
        (root / name).write_bytes(idx_bytes(np.full(count, 3)))
    data = _load(root)
    assert (data.num_classes, data.train.labels, data.test.labels) == (None, None, None)
    assert "the one label '3'" in data.notes[0]
