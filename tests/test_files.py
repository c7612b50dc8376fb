"""A file is replaced as a whole, or not at all."""

import os
import sys
import threading
from pathlib import Path

import pytest

from hssl.files import claimed, remove_leftovers, write_atomically


def full(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_write_makes_the_folders_above_it_and_a_file_that_others_may_read(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "kept"
    write_atomically(file, "ä")
    assert file.read_bytes() == "ä".encode()
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("failure", ["a full disk", "text that is no Unicode"])
def test_a_write_that_fails_leaves_the_old_text(failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kept"
    write_atomically(file, "old")
    if failure == "a full disk":
        monkeypatch.setattr(os, "fsync", full)
    with pytest.raises((OSError, UnicodeEncodeError)):
        write_atomically(file, "new" if failure == "a full disk" else "new \ud800")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    left = [tmp_path / ".x[1].json.k3.part", tmp_path / ".y.json.k3.part", inner / ".z.part"]
    kept = [tmp_path / "x[1].json", tmp_path / "x.part", inner / ".hidden", inner / "part"]
    for file in (*left, *kept):
        file.touch()
    remove_leftovers(tmp_path / "nowhere")
    remove_leftovers(tmp_path, "x[1].json")
    assert [file.exists() for file in left] == [False, True, True]
    remove_leftovers(tmp_path)
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in kept)


def test_a_writer_that_is_killed_leaves_what_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "replace", lambda *_: os._exit(0))
    child = os.fork()
    if child == 0:
        write_atomically(tmp_path / "kept", "new")
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(list(tmp_path.iterdir())) == 1
    remove_leftovers(tmp_path, "kept")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_a_claimed_folder_is_waited_for(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with claimed(tmp_path) as alone:
            order.append(f"second, alone: {alone}")

    with claimed(tmp_path) as alone:
        assert alone
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second, alone: True"]


def test_a_claim_where_there_are_no_locks_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", lambda *_: full(0))
    with claimed(tmp_path) as alone:
        assert not alone
    with pytest.raises(FileNotFoundError), claimed(tmp_path / "nowhere"):
        pass
