"""Text files that are replaced as a whole, and the folder for what may be deleted at any time."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Replaces a file's text (UTF-8) in one step: a reader, or a kill, sees the old or the new one whole.

    Folders above the file are made where they are missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
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
