"""Text files that are replaced as a whole, folders that one process claims, and the folder for what may be deleted."""

import glob
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PART = ".part"


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file's text (UTF-8) in one step: a reader, or a kill, sees the old or the new one whole.

    Folders above the file are made where they are missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PART)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes a private file; a result is for everyone that may read the folder.
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Deletes what writers of text files that were killed have left in a folder: half-written copies without a name.

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
