import fcntl
import io
import json
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import hssl.data.decoding
from hssl.data import DataSets, ImageStore, MappedStore, load_data
from hssl.data.cache import Mapped, cache_folder, decode_to_file
from hssl.data.decoding import decode
from hssl.data.settings import DataSettings
from hssl.data.split import ArrayPixels, Encoded, EncodedPixels, Split
from hssl.errors import ConfigurationError, DataError
from small_runs import write_images
from waiting import until

SIDE, COUNT = 16, 30


def _png(value: int, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (SIDE, SIDE), value if mode == "L" else (value,) * 3).save(buffer, "png")
    return buffer.getvalue()


class _Source:
    """Images of one value, the last one coloured if asked; counts how often it is asked to read them."""

    def __init__(self, value: int = 7, mode: str = "L", during: Callable[[], object] | None = None) -> None:
        self.contents = [_png(value)] * (COUNT - 1) + [_png(value, mode)]
        self.during, self.calls = during, 0

    def read(self, indices: np.ndarray) -> Iterator[Encoded]:
        self.calls += 1
        for index in indices:
            if self.during is not None and index == COUNT // 2:
                self.during()
            yield Encoded(f"{index}.png", self.contents[index])

    def decoded(self, key: str = "key") -> Mapped:
        split = Split("train", EncodedPixels(COUNT, self.read, (), key), None)
        return decode_to_file(split, np.arange(COUNT), DataSettings(resolution=SIDE))


def _value(source: _Source, key: str = "key") -> int:
    found = source.decoded(key)
    assert found.kept.tolist() == [True] * COUNT
    (value,) = found.images.take(np.arange(COUNT)).unique().tolist()
    assert found.counts[0, value] == found.counts[0].sum() == COUNT * SIDE**2
    return int(value)


def _entry(cache: Path) -> Path:
    (entry,) = (cache / "images").iterdir()
    return entry


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HSSL_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("HSSL_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "home" / "mine"
    monkeypatch.setenv("HSSL_CACHE", "")
    assert cache_folder() == tmp_path / "xdg" / "hssl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "hssl"
    monkeypatch.setenv("HSSL_CACHE", "~nobody-of-that-name/x")
    with pytest.raises(DataError, match="set HSSL_CACHE"):
        cache_folder()


def test_images_are_decoded_once_for_each_key() -> None:
    first, second = _Source(), _Source(9)
    assert [_value(first), _value(first), _value(second, "other"), _value(second)] == [7, 7, 9, 7]
    assert (first.calls, second.calls) == (1, 1)


def _spoil(folder: Path, how: str) -> None:
    images, entry = folder / "images.bin", folder / "entry.json"
    content = images.read_bytes()
    if how == "cut":
        images.write_bytes(content[:-1])
    elif how == "longer":
        images.write_bytes(content + b"x")
    elif how == "no images":
        images.unlink()
    elif how == "no entry":
        entry.unlink()
    else:
        entry.write_text({"entry cut": entry.read_text()[:9], "entry foreign": "[]", "entry bare": "{}"}[how])


@pytest.mark.parametrize("how", ["cut", "longer", "no images", "no entry", "entry cut", "entry foreign", "entry bare"])
def test_what_is_damaged_is_decoded_anew(cache: Path, how: str) -> None:
    source = _Source()
    source.decoded()
    _spoil(_entry(cache), how)
    assert _value(source) == 7
    assert source.calls == 2
    assert _value(source) == 7
    assert source.calls == 2, "the repaired entry was not used"
    assert sorted(path.name for path in _entry(cache).iterdir()) == ["entry.json", "images.bin"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError("an image cannot be read"), OSError(5, "I/O error")])
def test_an_interrupted_decoding_leaves_nothing(cache: Path, error: BaseException) -> None:
    def interrupt() -> None:
        raise error

    # The error of a source stays what it is: it is none of the cache.
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        _Source(during=interrupt).decoded()
    assert list(_entry(cache).iterdir()) == []
    assert _value(_Source()) == 7


def _kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("when", ["between images", "before the name", "before the entry"])
def test_a_killed_decoding_is_never_taken_for_a_whole_one(
    cache: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if when == "before the name":
        monkeypatch.setattr(Path, "replace", _kill)
    if when == "before the entry":
        monkeypatch.setattr("hssl.files.write_atomically", _kill)
    child = os.fork()
    if child == 0:
        try:
            _Source(3, during=_kill if when == "between images" else None).decoded()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL
    monkeypatch.undo()
    monkeypatch.setenv("HSSL_CACHE", str(cache))
    left = [path.name for path in _entry(cache).iterdir()]
    assert len(left) == 1, "the kill came at another time than it should"
    source = _Source()
    assert _value(source) == 7
    assert source.calls == 1
    assert sorted(path.name for path in _entry(cache).iterdir()) == ["entry.json", "images.bin"]


def _at_once(source: _Source, asking: list[bool], count: int = 3) -> list[int]:
    values: list[int] = []

    def ask() -> None:
        asking.append(True)
        values.append(_value(source))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return values


def test_who_comes_second_waits_and_decodes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    source, asking = _Source(), []
    # The first one goes on once the others have asked too.
    source.during = lambda: until(lambda: len(asking) == 3)
    assert _at_once(source, asking) == [7] * 3
    assert source.calls == 1

    # The control: a file system without locks. Everybody decodes then, and all is well nevertheless.
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setenv("HSSL_CACHE", os.environ["HSSL_CACHE"] + "/second")
    source = _Source(during=threading.Barrier(3).wait)
    assert _at_once(source, []) == [7] * 3
    assert source.calls == 3


@pytest.fixture
def largest_file() -> Iterator[Callable[[int], None]]:
    """Lets no file become larger than so many bytes, which a writer meets as it meets a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_before_the_first_image(cache: Path, largest_file: Callable[[int], None]) -> None:
    source, size = _Source(), COUNT * SIDE**2
    largest_file(size - 1)
    with pytest.raises(
        DataError, match=r"cannot be written[\s\S]*GB of room[\s\S]*HSSL_CACHE[\s\S]*--data\.store memory"
    ):
        source.decoded()
    assert source.calls == 0
    assert list(_entry(cache).iterdir()) == []
    # The control: exactly the room that grey images take.
    largest_file(size)
    assert _value(source) == 7


def test_a_disk_that_is_full_once_images_are_coloured_is_told(cache: Path, largest_file: Callable[[int], None]) -> None:
    source, size = _Source(mode="RGB"), COUNT * SIDE**2
    largest_file(3 * size - 1)
    with pytest.raises(DataError, match="GB of room"):
        source.decoded()
    assert list(_entry(cache).iterdir()) == []
    largest_file(3 * size)
    assert source.decoded().images.shape == (COUNT, 3, SIDE, SIDE)


def test_a_folder_that_cannot_be_made_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "file").write_text("x")
    monkeypatch.setenv("HSSL_CACHE", str(cache / "file"))
    with pytest.raises(DataError, match=r"cannot be written to the cache[\s\S]*Not a directory"):
        _Source().decoded()


def test_others_may_read_what_was_decoded(cache: Path) -> None:
    _Source().decoded()
    assert {path.stat().st_mode & 0o777 for path in _entry(cache).iterdir()} == {0o644}
    assert json.loads((_entry(cache) / "entry.json").read_text())["shape"] == [COUNT, 1, SIDE, SIDE]


def _picture(path: Path, seed: int, colour: bool = False, size: int = 12) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size, size, 3) if colour else (size, size)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)


def _folder(root: Path, train: str, test: str) -> Path:
    """Two classes; a letter an image: g grey, c coloured, x unreadable."""
    for split, kinds in (("train", train), ("test", test)):
        for index, kind in enumerate(kinds):
            path = root / split / f"class{index % 2}" / f"{index:02d}.png"
            _picture(path, index + 100 * (split == "test"), kind == "c")
            if kind == "x":
                path.write_bytes(b"no image")
    return root


def _config(root: Path, store: str = "mapped", **fields: object) -> DataSettings:
    usual = {"resolution": 10, "fit": "resize", "normalize": "standardize"}
    return DataSettings(name="folder", root=str(root), store=store, **usual | fields)


def _both(root: Path, **fields: object) -> tuple[DataSets, DataSets]:
    return load_data(_config(root, "mapped", **fields)), load_data(_config(root, "memory", **fields))


def _assert_equal(file: DataSets, memory: DataSets) -> None:
    assert file.summary() == memory.summary()
    assert file.notes == memory.notes
    for one, other in ((file.train, memory.train), (file.test, memory.test)):
        assert isinstance(one, MappedStore)
        assert isinstance(other, ImageStore)
        assert torch.equal(one.mean, other.mean)
        assert torch.equal(one.std, other.std)
        indices = torch.arange(len(other)).flip(0)
        assert torch.equal(one.batch(indices), other.batch(indices))
        if other.labels is not None:
            assert torch.equal(one.labels, other.labels)


@pytest.fixture(params=["in small pieces", "at once"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in small pieces":
        monkeypatch.setattr("hssl.data.store._BYTES_AT_ONCE", 3 * 3 * 10 * 10)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("gggggggg", "gggg"),
        ("cccccccc", "cccc"),
        ("ggggcggg", "cccc"),
        ("gggggggc", "gggg"),
        ("cggggggg", "cccg"),
        ("gggggggg", "ggcg"),
        ("cccccccc", "gggg"),
        ("xggxgcgg", "xgxg"),
    ],
)
@pytest.mark.parametrize("fields", [{}, {"grey": True}, {"grey": False}, {"normalize": "unit"}, {"train_images": 5}])
def test_a_folder_in_a_file_is_the_folder_in_memory(
    tmp_path: Path, train: str, test: str, fields: dict[str, object]
) -> None:
    root = _folder(tmp_path, train, test)
    file, memory = _both(root, **fields)
    _assert_equal(file, memory)
    # The control: a fingerprint of other images is another one.
    assert load_data(_config(root, fit="resize", resolution=11, **fields)).fingerprint() != memory.fingerprint()


def test_one_folder_without_classes_is_divided_as_in_memory(tmp_path: Path) -> None:
    file, memory = _both(write_images(tmp_path / "images", 30), test_fraction=0.3)
    _assert_equal(file, memory)
    assert len(file.test) == 9
    assert file.num_classes is None


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(
    "fields",
    [
        {"name": "digits", "resolution": 29},
        {"name": "digits", "resolution": 10, "fit": "resize", "grey": False, "normalize": "standardize"},
    ],
)
def test_arrays_in_a_file_are_those_in_memory(fields: dict[str, object]) -> None:
    _assert_equal(*(load_data(DataSettings(store=store, test_images=20, **fields)) for store in ("mapped", "memory")))


@pytest.mark.parametrize("name", ["mnist", "cifar10", "tiny-imagenet"])
def test_the_real_sets_in_a_file_are_those_in_memory(data_set: Callable[[str], Path], name: str) -> None:
    fields = {"resolution": 32, "fit": "resize", "normalize": "standardize", "train_images": 400, "test_images": 200}
    _assert_equal(
        *(
            load_data(DataSettings(name=name, root=str(data_set(name)), store=store, **fields))
            for store in ("mapped", "memory")
        )
    )


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each image that is decoded."""
    calls: list[int] = []
    original = hssl.data.decoding.open_image
    monkeypatch.setattr(hssl.data.decoding, "open_image", lambda *given: calls.append(1) or original(*given))
    return calls


def test_what_was_decoded_is_used_again(tmp_path: Path, decoded: list[int]) -> None:
    root = _folder(tmp_path, "gxcggggg", "gggg")
    first = load_data(_config(root))
    assert len(decoded) == 12
    _assert_equal(load_data(_config(root)), load_data(_config(root, "memory")))
    assert len(decoded) == 24, "only the one in memory is decoded again"
    # Nothing that is decided after the decoding needs another file; the unreadable image is still told of.
    other = load_data(_config(root, normalize="unit"))
    assert len(decoded) == 24
    assert other.notes == first.notes
    assert "left out 1 of 8" in first.notes[0]
    with pytest.raises(DataError, match=r"train/class1/01\.png"):
        load_data(_config(root, strict=True))


def _rewrite(root: Path) -> None:
    _picture(root / "train" / "class0" / "00.png", 77, size=30)


def _touch(root: Path) -> None:
    path = root / "train" / "class0" / "00.png"
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


def _add(root: Path) -> None:
    _picture(root / "train" / "class0" / "99.png", 5)


def _remove(root: Path) -> None:
    (root / "train" / "class0" / "00.png").unlink()


def _rename(root: Path) -> None:
    (root / "train" / "class0" / "00.png").rename(root / "train" / "class0" / "zz.png")


@pytest.mark.parametrize("change", [_rewrite, _touch, _add, _remove, _rename])
def test_changed_files_are_decoded_anew(tmp_path: Path, change: object, decoded: list[int]) -> None:
    root = _folder(tmp_path, "gggggggg", "gggg")
    before = load_data(_config(root)).fingerprint()
    change(root)  # type: ignore[operator]
    decoded.clear()
    file = load_data(_config(root))
    assert len(decoded) == len(file.train), "the test images did not change"
    _assert_equal(file, load_data(_config(root, "memory")))
    assert (file.fingerprint() == before) == (change is _touch)


@pytest.mark.parametrize(
    "fields",
    [{"resolution": 13}, {"fit": "resize"}, {"resize_to": 6}, {"grey": False}, {"strict": True}, {"train_images": 4}],
)
def test_other_settings_have_other_files(tmp_path: Path, fields: dict[str, object], decoded: list[int]) -> None:
    root = _folder(tmp_path, "gggggggg", "gggg")
    usual = {"fit": "pad", "resolution": 12}
    first = load_data(_config(root, **usual)).train
    decoded.clear()
    other = load_data(_config(root, **usual | fields))
    assert len(decoded) >= len(other.train)
    assert other.train.images.path != first.images.path
    _assert_equal(other, load_data(_config(root, "memory", **usual | fields)))


def test_other_choices_of_as_many_images_have_other_files(tmp_path: Path) -> None:
    root = _folder(tmp_path, "gggggggggggg", "gggg")
    config = _config(root, train_images=4)
    for seed in range(3):
        file, memory = load_data(config, seed), load_data(config.model_copy(update={"store": "memory"}), seed)
        _assert_equal(file, memory)
    assert len({load_data(config, seed).train.images.path for seed in range(3)}) == 3


@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_damaged_file_is_decoded_anew(tmp_path: Path, cache: Path, how: str, decoded: list[int]) -> None:
    root = _folder(tmp_path, "gggggggg", "gggg")
    load_data(_config(root))
    for path in cache.rglob("images.bin"):
        content = path.read_bytes()
        path.unlink()
        if how == "cut":
            path.write_bytes(content[:-10])
    decoded.clear()
    _assert_equal(load_data(_config(root)), load_data(_config(root, "memory")))
    assert len(decoded) == 24


def test_an_error_half_way_leaves_nothing_that_is_used(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = _folder(tmp_path, "gggggggg", "gggg")
    original = hssl.data.decoding.fit_image
    count = iter(range(100))

    def interrupted(*given: object) -> object:
        if next(count) == 5:
            raise KeyboardInterrupt
        return original(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("hssl.data.store._BYTES_AT_ONCE", 3 * 2 * 10 * 10)
    monkeypatch.setattr(hssl.data.decoding, "fit_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_data(_config(root))
    assert [path for path in cache.rglob("*") if path.is_file()] == []
    monkeypatch.undo()
    monkeypatch.setenv("HSSL_CACHE", str(cache))
    _assert_equal(*_both(root))


def _table(root: Path, paths: list[Path]) -> Path:
    """Parquet files that refer to images which lie beside them."""
    root.mkdir()
    for name, count in (("train", 6), ("test", 3)):
        cells = [{"bytes": None, "path": str(path)} for path in paths[:count]]
        pq.write_table(pa.table({"image": cells, "label": [row % 2 for row in range(count)]}), root / f"{name}.parquet")
    return root


def test_images_that_a_table_only_refers_to_are_looked_after(tmp_path: Path, decoded: list[int]) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(6)]
    for index, path in enumerate(paths):
        _picture(path, index)
    root = _table(tmp_path / "tables", paths)
    load_data(_config(root))
    decoded.clear()
    load_data(_config(root))
    assert decoded == []
    # In the training table alone.
    _picture(paths[5], 99)
    _assert_equal(*_both(root))
    assert len(decoded) == 6 + 9


def test_arrays_are_told_apart_by_their_content(cache: Path) -> None:
    array = np.random.default_rng(0).integers(0, 256, (9, 10, 10), dtype=np.uint8)
    rows, config = np.array([0, 3, 4]), DataSettings(resolution=10)

    def file(array: np.ndarray, rows: np.ndarray) -> Path:
        part = Split("train", ArrayPixels(array), None)
        found = decode_to_file(part, rows, config)
        assert torch.equal(found.images.take(np.arange(len(rows))), decode(part, rows, config).images)
        assert found.kept.all()
        return found.images.path

    first = file(array, rows)
    # An image that is not among the chosen ones is no part of them.
    unchosen, chosen = array.copy(), array.copy()
    unchosen[1] += 1
    chosen[3, 5, 5] += 1
    assert file(unchosen, rows) == first
    assert len({first, file(chosen, rows), file(array, rows + 1), file(array.reshape(9, 20, 5)[:, ::2], rows)}) == 4
    assert len(list(cache.rglob("images.bin"))) == 4


def test_errors_are_those_of_decoding_to_memory(tmp_path: Path, cache: Path) -> None:
    root = _folder(tmp_path, "gggggggg", "gggg")
    for fields, kind, says in (
        ({"fit": "pad", "resolution": 10}, DataError, r"12 x 12 pixels in train/class0/00\.png"),
        ({"fit": "pad", "resize_to": 11, "resolution": 10}, ConfigurationError, "cannot be padded"),
    ):
        for store in ("memory", "mapped"):
            with pytest.raises(kind, match=says):
                load_data(_config(root, store, **fields))
    for path in (root / "train").rglob("*.png"):
        path.write_bytes(b"")
    for store in ("memory", "mapped", "mapped"):
        with pytest.raises(DataError, match=r"too few training images[\s\S]*left out 8 of 8"):
            load_data(_config(root, store))
