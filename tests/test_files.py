"""A file is replaced as a whole, or not at all."""

import os
from pathlib import Path

import pytest

from hssl.files import write_atomically


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
