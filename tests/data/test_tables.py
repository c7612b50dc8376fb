import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from hssl.config import DataConfig
from hssl.data import DataSets, load_data
from hssl.errors import DataError


def png(value: int, side: int = 8, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (side, side), (value,) * 3 if mode == "RGB" else value).save(buffer, "png")
    return buffer.getvalue()


def cells(count: int, first: int = 0) -> list[dict]:
    return [{"bytes": png(first + row), "path": f"{first + row}.png"} for row in range(count)]


def write(path: Path, columns: dict, names: object = None, **options: object) -> Path:
    table = pa.table(columns)
    if names is not None:
        features = {"label": {"_type": "ClassLabel", "names": names}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


def _folder(root: Path, train: dict | None = None, test: dict | None = None, **options: object) -> Path:
    write(root / "train.parquet", train or {"image": cells(6), "label": [0, 1, 2, 0, 1, 2]}, **options)
    write(root / "test.parquet", test or {"image": cells(3, 100), "label": [2, 1, 0]}, **options)
    return root


def _load(root: Path, **fields: object) -> DataSets:
    return load_data(DataConfig(name="folder", root=str(root), resolution=8, **fields))


def _values(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def test_rows_keep_their_labels(tmp_path: Path) -> None:
    data = _load(_folder(tmp_path, names=["ape", "bee", "cat"], row_group_size=2))
    assert _values(data.train.images) == [0, 1, 2, 3, 4, 5]
    assert data.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert _values(data.test.images) == [100, 101, 102]
    assert data.test.labels.tolist() == [2, 1, 0]
    assert data.train.class_names == ("ape", "bee", "cat")
    assert data.channels == 3


def test_only_chosen_rows_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hssl.data.pixels

    opened = []
    original = hssl.data.pixels.open_image
    monkeypatch.setattr(hssl.data.pixels, "open_image", lambda *given: opened.append(1) or original(*given))
    train = {"image": cells(200), "label": [row % 10 for row in range(200)]}
    root = _folder(tmp_path, train, {"image": cells(10), "label": list(range(10))}, row_group_size=7)
    data = _load(root, train_images=20)
    assert len(opened) == 30
    assert torch.bincount(data.train.labels).tolist() == [2] * 10
    assert [value % 10 for value in _values(data.train.images)] == data.train.labels.tolist()


def test_shards_are_joined_in_order(tmp_path: Path) -> None:
    write(tmp_path / "data/train-00001-of-00002.parquet", {"image": cells(3, 50), "label": [1, 0, 1]})
    write(tmp_path / "data/train-00000-of-00002.parquet", {"image": cells(2), "label": [0, 1]}, row_group_size=1)
    write(tmp_path / "data/validation-00000-of-00001.parquet", {"image": cells(2, 90), "label": [0, 1]})
    data = _load(tmp_path)
    assert _values(data.train.images) == [0, 1, 50, 51, 52]
    assert data.train.labels.tolist() == [0, 1, 1, 0, 1]
    assert _values(data.test.images) == [90, 91]


@pytest.mark.parametrize(
    ("image", "label"), [("img", "label"), ("image", "labels"), ("image", "fine_label"), ("picture", "label")]
)
def test_other_column_names(tmp_path: Path, image: str, label: str) -> None:
    data = _load(_folder(tmp_path, {image: cells(2), label: [0, 1]}, {image: cells(2), label: [1, 0]}))
    assert data.test.labels.tolist() == [1, 0]


def test_labels_may_be_words_and_images_bare_bytes(tmp_path: Path) -> None:
    train = {"image": [png(1), png(2), png(3)], "label": ["b", "a", "b"]}
    data = _load(_folder(tmp_path, train, {"image": [png(4)], "label": ["a"]}))
    assert data.train.labels.tolist() == [1, 0, 1]
    assert data.train.class_names == ("a", "b")


@pytest.mark.parametrize("label", [{}, {"label": pa.array([None] * 4, pa.int64())}, {"label": [-1] * 4}])
def test_without_labels(tmp_path: Path, label: dict) -> None:
    data = _load(_folder(tmp_path, {"image": cells(4), **label}, {"image": cells(4), **label}))
    assert data.train.labels is None
    assert data.test.labels is None
    assert data.num_classes is None
    assert data.train.class_names == ()


def test_a_test_split_without_labels_gives_way_to_one_with(tmp_path: Path) -> None:
    root = _folder(tmp_path, test={"image": cells(3), "label": [-1] * 3})
    held_out = _load(root, test_fraction=0.5)
    assert len(held_out.train) + len(held_out.test) == 6
    assert "carries no labels" in held_out.notes[0]
    write(root / "valid.parquet", {"image": cells(2, 70), "label": [0, 1]})
    data = _load(root)
    assert _values(data.test.images) == [70, 71]
    assert "'valid' is used" in data.notes[0]


def test_unused_test_labels_are_noted(tmp_path: Path) -> None:
    data = _load(_folder(tmp_path, {"image": cells(4)}))
    assert data.test.labels is None
    assert "not used" in data.notes[0]


def test_grey_images_give_one_channel_unless_one_is_coloured(tmp_path: Path) -> None:
    grey = [{"bytes": png(value, mode="L"), "path": None} for value in range(4)]
    labels = [0, 1, 0, 1]
    assert (
        _load(_folder(tmp_path / "a", {"image": grey, "label": labels}, {"image": grey, "label": labels})).channels == 1
    )
    mixed = [*grey[:3], *cells(1, 9)]
    data = _load(_folder(tmp_path / "b", {"image": grey, "label": labels}, {"image": mixed, "label": labels}))
    assert data.train.images.shape[1] == data.test.images.shape[1] == 3
    assert data.train.images[2].unique().tolist() == [2]
    assert data.test.images[2].unique().tolist() == [2]


def test_unreadable_rows_are_named_and_left_out(tmp_path: Path) -> None:
    images = cells(6)
    images[1]["bytes"], images[4] = b"broken", None
    data = _load(_folder(tmp_path, {"image": images, "label": [0, 1, 2, 0, 1, 2]}, {"image": cells(1), "label": [0]}))
    assert _values(data.train.images) == [0, 2, 3, 5]
    assert data.train.labels.tolist() == [0, 2, 0, 2]
    assert "left out 2 of 6 training images" in data.notes[0]
    assert "1.png" in data.notes[0]
    assert "row 4 of train.parquet" in data.notes[0]
    with pytest.raises(DataError, match=r"1\.png"):
        _load(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("train", "names", "says"),
    [
        ({"text": ["a", "b"], "label": [0, 1]}, None, r"no column of images[\s\S]*text \(string\)"),
        ({"image": [1, 2], "label": [0, 1]}, None, "no column of images"),
        ({"image": cells(2), "label": [0, None]}, None, "lacks some labels"),
        ({"image": cells(2), "label": [0.5, 1.0]}, None, "unfit type"),
        ({"image": cells(2), "label": [0, 7]}, ["a", "b"], "label 7"),
        ({"image": cells(2), "label": [0, -1]}, None, "label -1"),
        ({"image": cells(2), "label": [0, 1]}, None, "no training image has"),
        ({"image": cells(1), "label": [0]}, None, "no training image has"),
        ({"image": cells(1), "label": [2]}, None, "no training image has"),
        ({"image": pa.array([], pa.struct([("bytes", pa.binary())]))}, None, "too few training images"),
        ({"image": cells(1)}, None, "too few training images"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, train: dict, names: list | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        _load(_folder(tmp_path, train, {"image": cells(3), "label": [2, 1, 0]}, names=names))


@pytest.mark.parametrize("how", ["not parquet", "cut", "empty", "page"])
def test_corrupt_files_are_refused_by_name(tmp_path: Path, how: str) -> None:
    rng = np.random.default_rng(0)
    train = {"image": [{"bytes": rng.bytes(3000), "path": "x"} for _ in range(8)], "label": [0, 1] * 4}
    path = _folder(tmp_path, train, {"image": cells(2), "label": [0, 1]}, compression="zstd") / "train.parquet"
    content = path.read_bytes()
    spoiled = {
        "not parquet": b"hello",
        "cut": content[: len(content) // 2],
        "empty": b"",
        "page": content[:4] + bytes(200) + content[204:],
    }
    path.write_bytes(spoiled[how])
    with pytest.raises(DataError, match=r"train.parquet is not a readable parquet file"):
        _load(tmp_path)


def test_a_folder_without_a_training_file_says_what_it_found(tmp_path: Path) -> None:
    write(tmp_path / "things.parquet", {"image": cells(2)})
    with pytest.raises(DataError, match=r"no training file[\s\S]*things.parquet[\s\S]*train\*"):
        _load(tmp_path)


def test_cifar10(data_root: Path) -> None:
    config = DataConfig(
        name="cifar10", root=str(data_root / "cifar10"), resolution=32, train_images=200, test_images=100
    )
    data = load_data(config, seed=3)
    assert data.train.images.shape == (200, 3, 32, 32)
    assert data.train.class_names[:2] == ("airplane", "automobile")
    assert torch.bincount(data.train.labels).tolist() == [20] * 10
    assert torch.bincount(data.test.labels).tolist() == [10] * 10
    assert data.notes == ()
    again, other = load_data(config, seed=3), load_data(config, seed=4)
    assert torch.equal(again.train.images, data.train.images)
    assert not torch.equal(other.train.images, data.train.images)


def test_every_row_of_cifar10_is_counted(data_root: Path) -> None:
    from hssl.data.parquet import find_parquet, read_parquet

    files = find_parquet(data_root / "cifar10")
    assert files is not None
    source = read_parquet(files)
    assert (len(source.train), len(source.held_out[0])) == (50_000, 10_000)
    assert np.bincount(source.train.labels).tolist() == [5000] * 10
    # A row's path begins with the name of its class, so labels and images cannot have come apart.
    rows = np.arange(0, 50_000, 997)
    for row, encoded in zip(rows, source.train.pixels.read(rows), strict=True):
        assert encoded.name.startswith(source.class_names[source.train.labels[row]] + "/")


def test_tiny_imagenet(data_root: Path) -> None:
    root = str(data_root / "tiny-imagenet")
    config = DataConfig(
        name="tiny-imagenet",
        root=root,
        resolution=25,
        resize_to=25,
        train_images=400,
        test_images=200,
        normalize="standardize",
    )
    data = load_data(config)
    assert data.num_classes == 200
    assert torch.bincount(data.train.labels).tolist() == [2] * 200
    assert data.train.images.shape == (400, 3, 25, 25)
    batch = data.train.batch(torch.arange(400), torch.float64)
    torch.testing.assert_close(batch.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        batch.std((0, 2, 3), correction=0), torch.ones(3, dtype=torch.float64), atol=1e-5, rtol=0
    )
    assert data.test.batch(torch.arange(200)).mean().abs() > 1e-3
    with pytest.raises(DataError, match="64 x 64"):
        load_data(config.model_copy(update={"resize_to": None, "resolution": 32}))
