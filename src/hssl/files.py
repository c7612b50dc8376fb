"""Files that are replaced as a whole, folders that one process claims, and the folder for what may be deleted."""

import glob
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_PART = ".part"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream, to write and to read again, whose content takes the file's place once the block has ended well.

    In one step, and flushed before it: a reader, a kill, or power that fails sees the old or the new file whole.

    Raises:
        OSError: with the file's name, also where a full disk refuses what is written.
    """
    with _named(path):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PART)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "w+b") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            # mkstemp makes a private file; a result is for everyone that may read the folder.
            temporary.chmod(0o644)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    _flush_folder(path.parent)


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file's text in one step: a reader, or a kill, sees the old or the new one whole.

    Folders above the file are made where they are missing. UTF-8; halves of letters, as in names of files that are in
    another encoding, become the escapes of JSON and YAML.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        stream.write(_encoded(text))


def append_line(path: Path, line: str) -> None:
    """Adds one line to a file that grows, encoded as above."""
    with _named(path), path.open("ab") as stream:
        stream.write(_encoded(line + "\n"))


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Deletes what killed writers have left in a folder: half-written copies without a name.

    Only for who knows that nobody is writing there now, as the holder of a lock does.

    Args:
        folder: it need not exist.
        name: of the file that was to be written; None for every file of the folder and of those below it.
    """
    found = folder.rglob(f".*{_PART}") if name is None else folder.glob(f".{glob.escape(name)}.*{_PART}")
    for part in list(found):
        part.unlink(missing_ok=True)


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Holds a folder against others that claim it, after waiting for them; whether that worked. A kill lets it go.

    Raises:
        OSError: there is no such folder, or it cannot be read.
    """
    if sys.platform == "win32":
        yield False
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        alone = False
        # Some network file systems know no locks.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            alone = True
        yield alone
    finally:
        os.close(descriptor)


def _encoded(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """A full disk says nothing of the file, and other refusals name the copy that was to take its place."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _flush_folder(folder: Path) -> None:
    """So that a name that was given outlives a loss of power, where the system can be told so."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def cache_folder() -> Path:
    """`HSSL_CACHE`, else hssl/ in `XDG_CACHE_HOME`, else ~/.cache/hssl. Whatever lies in it may be deleted.

    Raises:
        RuntimeError: there is no home folder to put it in.
    """
    if chosen := os.environ.get("HSSL_CACHE"):
        return Path(chosen).expanduser().absolute()
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches).expanduser().absolute() / "hssl"
    return Path.home() / ".cache" / "hssl"
