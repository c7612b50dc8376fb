"""A file is replaced as a whole, or not at all."""

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hssl.files import append_line, claimed, remove_leftovers, write_atomically


def full(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_a_write_makes_the_folders_above_it_and_a_file_that_others_may_read(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "kept"
    write_atomically(file, "ä")
    assert file.read_bytes() == "ä".encode()
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_write_that_fails_leaves_the_old_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kept"
    write_atomically(file, "old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_halves_of_letters_are_written_as_json_and_yaml_escape_them(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    file = tmp_path / "kept"
    write_atomically(file, json.dumps({"name": name, "other": "é"}, ensure_ascii=False))
    assert json.loads(file.read_text(encoding="utf-8")) == {"name": name, "other": "é"}
    assert "é" in file.read_text(encoding="utf-8")
    append_line(tmp_path / "log", f"{name} é")
    assert (tmp_path / "log").read_bytes() == b"caf\\udce9.png \xc3\xa9\n"


@pytest.mark.parametrize("where", ["write", "close"])
def test_a_full_disk_is_named_with_the_file(where: str, tmp_path: Path) -> None:
    """The system's own refusal: a limit on the size of files, in a process of its own."""
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from hssl.files import write_atomically\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try:\n"
        "    write_atomically(Path(sys.argv[1]), sys.argv[2])\n"
        "except OSError as error:\n"
        "    print(error.errno, error.filename)\n"
    )
    file = tmp_path / "kept"
    words = [sys.executable, "-c", program, str(file)]
    long = "x" * (100_000 if where == "write" else 11)
    done = subprocess.run([*words, long], capture_output=True, text=True, check=True)
    assert done.stdout == f"{errno.EFBIG} {file}\n"
    assert list(tmp_path.iterdir()) == []
    assert subprocess.run([*words, "x" * 10], capture_output=True, text=True, check=True).stdout == ""
    assert file.read_text() == "x" * 10


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
