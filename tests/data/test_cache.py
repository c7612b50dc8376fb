import fcntl
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hssl.data.cache import cache_folder, cached_images
from hssl.data.mapped_file import MappedFile, MappedWriter
from hssl.errors import DataError


def _images(value: int, count: int = 5) -> torch.Tensor:
    return torch.full((count, 1, 4, 4), value, dtype=torch.uint8)


class _Source:
    """Counts how often it is asked to write."""

    def __init__(self, value: int = 7) -> None:
        self.value, self.calls = value, 0

    def __call__(self, writer: MappedWriter) -> dict[str, object]:
        self.calls += 1
        writer.append(_images(self.value))
        return {"value": self.value}


def _value(found: tuple[MappedFile, dict[str, object]]) -> int:
    images, notes = found
    (value,) = images.take(np.arange(len(images))).unique().tolist()
    assert notes == {"value": value}
    return int(value)


def _cached(source: Callable[[MappedWriter], dict[str, object]], key: str = "key", least: int = 0) -> int:
    return _value(cached_images(key, 4, least, source))


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


def test_images_are_written_once_for_each_key() -> None:
    first, second = _Source(), _Source(9)
    assert [_cached(first), _cached(first), _cached(second, "other"), _cached(second)] == [7, 7, 9, 7]
    assert (first.calls, second.calls) == (1, 1)


def test_what_no_longer_holds_is_written_anew() -> None:
    _cached(_Source())
    assert _value(cached_images("key", 4, 0, _Source(9), lambda notes: notes["value"] == 7)) == 7
    assert _value(cached_images("key", 4, 0, _Source(9), lambda notes: notes["value"] != 7)) == 9


def _entry(cache: Path) -> Path:
    return cache / "images" / "key"


def _spoil(folder: Path, how: str) -> None:
    images, entry = folder / "images.npy", folder / "entry.json"
    content = images.read_bytes()
    if how == "cut":
        images.write_bytes(content[:-1])
    elif how == "longer":
        images.write_bytes(content + b"x")
    elif how == "no images":
        images.unlink()
    elif how == "other images":
        with MappedWriter(images, 4) as writer:
            writer.append(_images(1, 4))
    elif how == "no entry":
        entry.unlink()
    else:
        entry.write_text({"entry cut": entry.read_text()[:9], "entry foreign": "[]", "entry bare": "{}"}[how])


@pytest.mark.parametrize(
    "how", ["cut", "longer", "no images", "other images", "no entry", "entry cut", "entry foreign", "entry bare"]
)
def test_what_is_damaged_is_written_anew(cache: Path, how: str) -> None:
    source = _Source()
    _cached(source)
    _spoil(_entry(cache), how)
    assert _cached(source) == 7
    assert source.calls == 2
    assert _cached(source) == 7
    assert source.calls == 2, "the repaired entry was not used"
    assert sorted(path.name for path in _entry(cache).iterdir()) == ["entry.json", "images.npy"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError("an image cannot be read"), OSError(5, "I/O error")])
def test_an_interrupted_writing_leaves_nothing(cache: Path, error: BaseException) -> None:
    def interrupted(writer: MappedWriter) -> dict[str, object]:
        writer.append(_images(3))
        raise error

    # The error of a source stays what it is: it is none of the cache.
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        _cached(interrupted)
    assert list(_entry(cache).iterdir()) == []
    assert _cached(_Source()) == 7


def _killed(at: Callable[[MappedWriter], None]) -> None:
    """Has another process write images and be killed at some point of it."""
    child = os.fork()
    if child == 0:
        try:
            cached_images("key", 4, 0, lambda writer: at(writer) or {"value": 3})  # type: ignore[func-returns-value]
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize("when", ["between images", "before the name", "before the entry"])
def test_a_killed_writing_is_never_taken_for_a_whole_one(
    cache: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def write(writer: MappedWriter) -> None:
        writer.append(_images(3))
        writer._stream.flush()
        if when == "between images":
            kill()

    if when == "before the name":
        monkeypatch.setattr(Path, "replace", kill)
    if when == "before the entry":
        monkeypatch.setattr("hssl.data.cache.write_atomically", kill)
    _killed(write)
    monkeypatch.undo()
    monkeypatch.setenv("HSSL_CACHE", str(cache))
    left = [path.name for path in _entry(cache).iterdir()]
    assert len(left) == 1, "the kill came at another time than it should"
    source = _Source()
    assert _cached(source) == 7
    assert source.calls == 1
    assert sorted(path.name for path in _entry(cache).iterdir()) == ["entry.json", "images.npy"]


def _at_once(source: Callable[[MappedWriter], dict[str, object]], count: int = 3) -> list[int]:
    values: list[int] = []
    threads = [threading.Thread(target=lambda: values.append(_cached(source))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return values


def test_who_comes_second_waits_and_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(_Source):
        def __call__(self, writer: MappedWriter) -> dict[str, object]:
            time.sleep(0.1)
            return super().__call__(writer)

    source = Slow()
    assert _at_once(source) == [7] * 3
    assert source.calls == 1

    # The control: a file system without locks. Everybody writes then, and all is well nevertheless.
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setenv("HSSL_CACHE", os.environ["HSSL_CACHE"] + "/second")
    source = Slow()
    assert _at_once(source) == [7] * 3
    assert source.calls == 3


def test_a_full_disk_is_told_before_anything_is_decoded(cache: Path) -> None:
    source = _Source()
    with pytest.raises(DataError, match=r"GB of room[\s\S]*1000000\.00 GB[\s\S]*HSSL_CACHE[\s\S]*--data\.store memory"):
        _cached(source, least=10**15)
    assert source.calls == 0
    assert _cached(source, least=80) == 7


def test_a_folder_that_cannot_be_made_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "file").write_text("x")
    monkeypatch.setenv("HSSL_CACHE", str(cache / "file"))
    with pytest.raises(DataError, match=r"cannot be written to the cache[\s\S]*Not a directory"):
        _cached(_Source())


def test_others_may_read_what_was_written(cache: Path) -> None:
    _cached(_Source())
    assert {path.stat().st_mode & 0o777 for path in _entry(cache).iterdir()} == {0o644}
    assert json.loads((_entry(cache) / "entry.json").read_text())["shape"] == [5, 1, 4, 4]
