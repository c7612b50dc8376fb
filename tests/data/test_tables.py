import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from hssl.data import DataSets, load_data
from hssl.data.settings import DataSettings
from hssl.data.tables import find_parquet, read_parquet
from hssl.errors import DataError


def png(value: int, side: int = 8, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (side, side), (value,) * 3 if mode == "RGB" else value).save(buffer, "png")
    return buffer.getvalue()


def cells(count: int, first: int = 0) -> list[dict]:
    return [{"bytes": png(first + row), "path": f"{first + row}.png"} for row in range(count)]


def write(path: Path, columns: dict, names: list[str] | dict[str, list[str]] | None = None, **options: object) -> Path:
    """A table; `names` of the column 'label', or of each column that is declared as ClassLabel."""
    table = pa.table(columns)
    if names is not None:
        declared = names if isinstance(names, dict) else {"label": names}
        features = {column: {"_type": "ClassLabel", "names": listed} for column, listed in declared.items()}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return path


def _folder(root: Path, train: dict | None = None, test: dict | None = None, **options: object) -> Path:
    write(root / "train.parquet", train or {"image": cells(6), "label": [0, 1, 2, 0, 1, 2]}, **options)
    write(root / "test.parquet", test or {"image": cells(3, 100), "label": [2, 1, 0]}, **options)
    return root


def _load(root: Path, **fields: object) -> DataSets:
    return load_data(DataSettings(name="folder", root=str(root), resolution=8, **fields))


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
    import hssl.data.decoding

    opened = []
    original = hssl.data.decoding.open_image
    monkeypatch.setattr(hssl.data.decoding, "open_image", lambda *given: opened.append(1) or original(*given))
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
    with pytest.raises(DataError, match=r"no split 'train'[\s\S]*things.parquet[\s\S]*name says train"):
        _load(tmp_path)


SHADES = {"dark": 40, "bright": 200}


def shaded(names: str, count: int = 4) -> tuple[dict, list[str]]:
    """Images that are what their label says under these names, in this order."""
    listed = names.split()
    images = [{"bytes": png(SHADES[name] + row), "path": None} for name in listed for row in range(count)]
    return {"image": images, "label": np.repeat(range(len(listed)), count)}, listed


def _assert_named_right(data: DataSets) -> None:
    for store in (data.train, data.test):
        for value, label in zip(_values(store.images), store.labels.tolist(), strict=True):
            assert store.class_names[label] == ("dark" if value < 100 else "bright")


@pytest.mark.parametrize("splits", ["parquet", "saved"])
@pytest.mark.parametrize("test", ["dark bright", "bright dark"])
def test_each_split_is_read_by_its_own_class_names(tmp_path: Path, splits: str, test: str) -> None:
    write(tmp_path / "train.parquet", *shaded("dark bright"))
    write(tmp_path / "test.parquet", *shaded(test))
    if splits == "saved":
        import datasets

        read = {name: datasets.Dataset.from_parquet(str(tmp_path / f"{name}.parquet")) for name in ("train", "test")}
        features = {
            name: datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=order.split()))
            for name, order in (("train", "dark bright"), ("test", test))
        }
        parts = {name: part.cast(features[name]) for name, part in read.items()}
        datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "saved"))
    data = _load(tmp_path / "saved" if splits == "saved" else tmp_path)
    assert data.train.class_names == ("dark", "bright")
    _assert_named_right(data)


def test_each_shard_is_read_by_its_own_class_names(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00002.parquet", *shaded("dark bright"))
    write(tmp_path / "train-00001-of-00002.parquet", *shaded("bright dark"))
    write(tmp_path / "test.parquet", *shaded("bright dark"))
    data = _load(tmp_path)
    assert data.train.labels.tolist() == [0] * 4 + [1] * 8 + [0] * 4
    assert (data.train.class_names, data.notes) == (("dark", "bright"), ())
    _assert_named_right(data)


def test_class_names_of_one_file_serve_the_others_and_that_is_told(tmp_path: Path) -> None:
    columns, names = shaded("dark bright")
    for named in ("train", "test"):
        root = tmp_path / named
        write(root / "train.parquet", columns, names if named == "train" else None)
        write(root / "test.parquet", columns, names if named == "test" else None)
        data = _load(root)
        _assert_named_right(data)
        assert any("no class names are declared" in note for note in data.notes)
    write(tmp_path / "shards/train-0.parquet", columns, names)
    write(tmp_path / "shards/train-1.parquet", columns)
    data = _load(tmp_path / "shards", test_fraction=0.3)
    _assert_named_right(data)
    assert "in train-1.parquet: its labels are read by those of train-0.parquet" in data.notes[0]


def test_names_of_labels_that_are_32_bits_wide_are_read_too(tmp_path: Path) -> None:
    columns, names = shaded("dark bright")
    columns["label"] = pa.array(columns["label"], pa.int32())
    write(tmp_path / "train.parquet", columns, names)
    assert _load(tmp_path).train.class_names == ("dark", "bright")


def test_a_class_that_only_the_test_names_declare_is_none(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", *shaded("dark bright"))
    columns, _ = shaded("dark bright")
    write(tmp_path / "test.parquet", columns, ["dark", "bright", "night"])
    assert _load(tmp_path).num_classes == 2
    columns["label"][0] = 2
    write(tmp_path / "test.parquet", columns, ["dark", "bright", "night"])
    with pytest.raises(DataError, match=r"no training image has[\s\S]*'night'"):
        _load(tmp_path)


@pytest.mark.parametrize(
    ("others", "declared", "column", "notes"),
    [
        # Named and declared, named, or declared alone.
        ({}, {"label": "a b"}, "label", 0),
        ({}, {}, "label", 0),
        ({"label": None, "target": [1, 0, 1, 0]}, {"target": "a b"}, "target", 1),
        # What is declared goes before a name, a usual name that is declared before all; others are told.
        ({"target": [0, 0, 0, 0]}, {}, "label", 0),
        ({"target": [1, 0, 1, 0]}, {"target": "a b"}, "target", 1),
        ({"target": [0, 0, 0, 0]}, {"target": "a b", "label": "a b"}, "label", 1),
        ({"label": None, "x": [1, 0, 1, 0], "y": [0, 0, 0, 0]}, {"y": "a b", "x": "a b"}, "y", 1),
        ({"coarse_label": [0, 0, 0, 0], "fine_label": [1, 0, 1, 0], "label": None},
         {"coarse_label": "c d", "fine_label": "a b"}, "fine_label", 1),
        ({"label": None, "Label": [0, 1, 0, 1]}, {}, "Label", 0),
    ],
)  # fmt: skip
def test_the_column_of_labels(tmp_path: Path, others: dict, declared: dict, column: str, notes: int) -> None:
    columns = {"image": cells(4), "label": [0, 1, 0, 1]} | others
    columns = {name: values for name, values in columns.items() if values is not None}
    write(tmp_path / "train.parquet", columns, {name: names.split() for name, names in declared.items()})
    write(tmp_path / "test.parquet", columns, {name: names.split() for name, names in declared.items()})
    if columns[column] == [0, 0, 0, 0]:
        assert _load(tmp_path).train.labels is None
    else:
        data = _load(tmp_path)
        assert data.train.labels.tolist() == columns[column]
        assert data.train.class_names == tuple(declared.get(column, "0 1").split())
    told = [note for note in _load(tmp_path).notes if f"from the column '{column}'" in note]
    # For each split.
    assert len(told) == 2 * notes


def test_a_column_that_could_be_labels_is_never_passed_over_in_silence(tmp_path: Path) -> None:
    columns = {"image": cells(4), "category": [0, 1, 0, 1], "caption": ["a", "b", "c", "d"], "weight": [0.5] * 4}
    data = _load(_folder(tmp_path, columns, columns))
    assert data.num_classes is None
    assert "the split 'train' has no labels" in data.notes[0]
    assert "'category', 'caption'" in data.notes[0]
    assert "weight" not in "".join(data.notes)


def test_splits_are_labelled_by_the_same_column_where_they_have_it(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", {"image": cells(2), "label": [0, 1]})
    write(tmp_path / "test.parquet", {"image": cells(2), "label": [0, 1], "target": [1, 0]}, {"target": ["0", "1"]})
    data = _load(tmp_path)
    assert data.test.labels.tolist() == [0, 1]
    assert "split 'test' are read from the column 'label', not from 'target'" in data.notes[0]


def test_splits_may_keep_their_labels_in_different_columns(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", {"image": cells(2), "label": [0, 1]}, ["a", "b"])
    write(tmp_path / "test.parquet", {"image": cells(2), "target": [0, 1]}, {"target": ["b", "a"]})
    data = _load(tmp_path)
    assert data.test.labels.tolist() == [1, 0]
    assert "split 'test' are read from the column 'target'" in data.notes[0]


@pytest.mark.parametrize("names", [None, ["a", "b", "c", "d"]])
@pytest.mark.parametrize("words", [False, True])
def test_one_label_value_means_no_labels(tmp_path: Path, names: list[str] | None, words: bool) -> None:
    labels = ["d"] * 4 if words else [3] * 4
    columns = {"image": cells(4), "label": labels}
    data = _load(_folder(tmp_path, columns, columns, names=names))
    assert data.num_classes is None
    assert (data.train.labels, data.test.labels, data.train.class_names) == (None, None, ())
    assert f"the one label '{'d' if names or words else 3}'" in data.notes[0]
    # The same images are held out as without labels.
    other = _load(write(tmp_path / "b/train.parquet", {"image": cells(20)}).parent, test_fraction=0.3)
    held = _load(write(tmp_path / "c/train.parquet", {"image": cells(20), "label": [3] * 20}).parent, test_fraction=0.3)
    assert torch.equal(held.test.images, other.test.images)


def _shards(root: Path, *names: str) -> Path:
    for place, name in enumerate(names):
        write(root / name, {"image": cells(2, 10 * place), "label": [0, 1]})
    return root


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["train-00000-of-00003"], r"1 files[\s\S]*3 files[\s\S]*add number 1, 2"),
        (["train-00000-of-00003", "train-00002-of-00003"], "add number 1"),
        (["train-00001-of-00002", "train-00000-of-00002", "train-00002-of-00002"], "3 files[\\s\\S]*2 files"),
        (["train-00000-of-00002", "train-00001-of-00002", "train-00000-of-00001"], "move files of other sets away"),
        (["train-00000-of-00001", "train"], "move files of other sets away"),
        (["train-00000-of-00001-9e1a04b8", "train-00000-of-00001-3c44aa01"], "move files of other sets away"),
        (["train-00001-of-00003", "train-00003-of-00003"], "add number 2"),
    ],
)
def test_shards_that_are_missing_or_too_many_are_told_by_their_names(
    tmp_path: Path, names: list[str], says: str
) -> None:
    with pytest.raises(DataError, match=r"not one complete set of shards[\s\S]*" + says):
        _load(_shards(tmp_path, *(f"{name}.parquet" for name in names), "test.parquet"))


def test_missing_shards_of_the_test_split_are_told_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="split 'test'"):
        _load(_shards(tmp_path, "train-00000-of-00001.parquet", "test-00000-of-00002.parquet"))


@pytest.mark.parametrize(
    "names",
    [
        ["train-00000-of-00002", "train-00001-of-00002"],
        ["train-1-of-2", "train-2-of-2"],
        ["train-00000-of-00002-9e1a04b8", "train-00001-of-00002-3c44aa01"],
        ["train-0", "train-1"],
        ["train_a", "train_b"],
    ],
)
def test_complete_shards_are_joined(tmp_path: Path, names: list[str]) -> None:
    data = _load(_shards(tmp_path, *(f"{name}.parquet" for name in names), "test.parquet"))
    assert _values(data.train.images) == [0, 1, 10, 11]
    assert data.notes == ()


@pytest.mark.parametrize("kinds", [(pa.int64(), pa.int32()), (pa.uint8(), pa.int64()), (pa.bool_(), pa.int16())])
def test_labels_of_different_widths_are_joined(tmp_path: Path, kinds: tuple) -> None:
    for place, kind in enumerate(kinds):
        write(tmp_path / f"train-{place}.parquet", {"image": cells(2), "label": pa.array([0, 1]).cast(kind)})
    data = _load(tmp_path, test_fraction=0.3)
    assert torch.bincount(data.train.labels).tolist() in ([1, 2], [2, 1])
    assert data.train.class_names == ("0", "1")


def test_words_and_categories_are_joined(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", {"image": cells(2), "label": pa.array(["b", "a"])})
    write(tmp_path / "train-1.parquet", {"image": cells(2), "label": pa.array(["c", "a"]).dictionary_encode()})
    write(tmp_path / "test.parquet", {"image": cells(1), "label": pa.array(["c"], pa.large_string())})
    data = _load(tmp_path)
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([1, 0, 2, 0], [2])


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({"image": cells(2)}, r"train-1\.parquet has no labels in the column 'label'"),
        ({"image": cells(2), "target": [0, 1]}, r"train-1\.parquet has no labels in the column 'label'"),
        ({"image": cells(2), "label": pa.array([None, None], pa.int64())}, r"train-1\.parquet has no labels in the"),
        ({"image": cells(2), "label": [-1, -1]}, r"train-1\.parquet has no labels in the column 'label'"),
        ({"image": cells(2), "label": [1, None]}, r"train-1\.parquet lacks some labels"),
        ({"image": cells(2), "label": ["a", "b"]}, r"in train-0\.parquet; words in train-1\.parquet"),
        ({"image": cells(2), "label": [0.0, 1.0]}, r"train-1\.parquet has labels of an unfit type[\s\S]*double"),
        ({"image": cells(2), "label": pa.array([0, 2**63], pa.uint64())}, r"unfit type[\s\S]*uint64"),
        ({"image": cells(2), "label": [[0], [1]]}, "unfit type"),
        ({"label": [0, 1]}, r"train-1\.parquet has no column of images"),
    ],
)
def test_shards_that_differ_are_refused_by_name(tmp_path: Path, second: dict, says: str) -> None:
    write(tmp_path / "train-0.parquet", {"image": cells(2), "label": [0, 1]})
    write(tmp_path / "train-1.parquet", second)
    with pytest.raises(DataError, match=says) as caught:
        _load(tmp_path)
    assert "not a readable" not in str(caught.value)


def test_shards_may_differ_in_what_is_not_used(tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", {"image": cells(2), "label": [0, 1], "width": [8, 8]})
    write(tmp_path / "train-1.parquet", {"img": cells(2, 10), "label": [0, 1]})
    write(tmp_path / "test.parquet", {"label": [0, 1], "image": cells(2, 20)})
    assert _values(_load(tmp_path).train.images) == [0, 1, 10, 11]


def test_an_empty_shard_adds_nothing(tmp_path: Path) -> None:
    empty = pa.table({"image": cells(1), "label": [0]}).slice(0, 0)
    write(tmp_path / "train-0.parquet", {"image": cells(2), "label": ["a", "b"]})
    write(tmp_path / "train-1.parquet", {name: empty.column(name) for name in empty.column_names})
    write(tmp_path / "test.parquet", {"image": cells(1), "label": ["a"]})
    assert _load(tmp_path).train.labels.tolist() == [0, 1]


def test_of_several_columns_of_images_one_is_used_and_told(tmp_path: Path) -> None:
    columns = {"left": cells(2), "right": cells(2, 50), "label": [0, 1]}
    data = _load(_folder(tmp_path, columns, columns))
    assert _values(data.train.images) == [0, 1]
    assert "'left' is used, not 'right'" in data.notes[0]


@pytest.mark.parametrize(
    "names",
    [
        ("train.PARQUET", "test.Parquet"),
        ("cifar10_train.parquet", "cifar10_test.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("data/train/0000.parquet", "data/validation/0000.parquet"),
        ("plain/train.parquet", "plain/dev.parquet"),
    ],
)
def test_where_files_of_splits_may_lie(tmp_path: Path, names: tuple[str, str]) -> None:
    write(tmp_path / names[0], {"image": cells(3), "label": [0, 1, 1]})
    write(tmp_path / names[1], {"image": cells(2, 50), "label": [0, 1]})
    write(tmp_path / ".cache" / "train.parquet", {"image": cells(9), "label": [0] * 9})
    (tmp_path / "._train.parquet").write_bytes(b"what an archiver adds")
    data = _load(tmp_path)
    assert (_values(data.train.images), _values(data.test.images)) == ([0, 1, 2], [50, 51])
    assert data.notes == ()


def test_files_that_are_not_used_are_told(tmp_path: Path) -> None:
    root = _folder(tmp_path)
    write(root / "extra.parquet", {"image": cells(2)})
    write(root / "training.parquet", {"image": cells(2)})
    write(root / "val.parquet", {"image": cells(2), "label": [0, 1]})
    notes = _load(root).notes
    assert "not used: 'training', 'extra.parquet'" in notes[0]
    assert "measured on the split 'test', not on 'val'" in notes[-1]


@pytest.mark.parametrize("names", [["test", "val"], ["validation"], ["test-00000-of-00001"]])
def test_no_test_file_is_ever_trained_on(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(DataError, match="no split 'train'"):
        _load(_shards(tmp_path, *(f"{name}.parquet" for name in names)))


@pytest.mark.parametrize("metadata", [b"no json", b"[]", b'{"info": null}', b'{"info": {"features": {"label": 3}}}'])
def test_broken_metadata_declare_nothing(tmp_path: Path, metadata: bytes) -> None:
    table = pa.table({"image": cells(2), "label": [0, 1]}).replace_schema_metadata({"huggingface": metadata})
    for name in ("train", "test"):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    assert _load(tmp_path).train.class_names == ("0", "1")


def test_cifar10(data_set: Callable[[str], Path]) -> None:
    config = DataSettings(
        name="cifar10", root=str(data_set("cifar10")), resolution=32, train_images=200, test_images=100
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


def test_every_row_of_cifar10_is_counted(data_set: Callable[[str], Path]) -> None:
    root = data_set("cifar10")
    source = read_parquet(root, find_parquet(root))
    assert (len(source.train), len(source.held_out[0])) == (50_000, 10_000)
    assert np.bincount(source.train.labels).tolist() == [5000] * 10
    # A row's path begins with the name of its class, so labels and images cannot have come apart.
    rows = np.arange(0, 50_000, 997)
    for row, encoded in zip(rows, source.train.pixels.read(rows), strict=True):
        assert encoded.name.startswith(source.train.class_names[source.train.labels[row]] + "/")


def test_tiny_imagenet(data_set: Callable[[str], Path]) -> None:
    root = str(data_set("tiny-imagenet"))
    config = DataSettings(
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
