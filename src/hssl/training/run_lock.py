"""One process at a time trains into a run's folder: a lock that the system lets go with its holder, however that ends.

It is flock: known to local file systems and to NFS from version 4 on, where it holds between machines. Where a file
system, or Windows, knows none, training goes on without one, and says so. Nothing that only reads takes it.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hssl.errors import RunFolderError


class RunInUseError(RunFolderError):
    """A folder that another process is training into."""


@contextmanager
def locked(file: Path) -> Iterator[bool]:
    """Holds the lock of that file, whose text names the holder. The file stays: an old one keeps nobody out.

    Returns:
        Whether there is a lock; without one nobody is kept out.

    Raises:
        RunInUseError: another process holds it. It is not waited for, and nothing has been changed.
        OSError: the file cannot be written.
    """
    if sys.platform == "win32":
        yield False
        return
    import fcntl

    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunInUseError(
                f"{file.parent} is in use; nothing was changed",
                got=f"the lock of {_holder(descriptor)}, which is training into it",
                expected="one training at a time in a folder",
                hint="wait for its end and repeat the command, or choose another --out",
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            yield False
            return
        _name_holder(descriptor, file)
        yield True
    finally:
        os.close(descriptor)


def _name_holder(descriptor: int, file: Path) -> None:
    text = f"process {os.getpid()} on {platform.node()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n"
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(errors="backslashreplace"), 0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 1000, 0).decode(errors="backslashreplace").strip() or "another process"
