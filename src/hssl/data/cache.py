"""Files of decoded images that are made once and used by every later run: where they lie, and when they are whole."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from hssl import files
from hssl.data.mapped_file import MappedFile, MappedWriter, no_room, writing
from hssl.errors import DataError
from hssl.files import write_atomically

Notes: TypeAlias = dict[str, Any]

_IMAGES, _ENTRY, _PART = "images.npy", "entry.json", ".part"


def cache_folder() -> Path:
    """`hssl.files.cache_folder`, for images.

    Raises:
        DataError: there is no home folder to put it in.
    """
    try:
        return files.cache_folder()
    except RuntimeError as error:
        raise DataError(
            "there is no home folder for the cache of images", arrived=error, remedy="set HSSL_CACHE to a folder"
        ) from error


def cached_images(
    key: str,
    side: int,
    least_bytes: int,
    write: Callable[[MappedWriter], Notes],
    holds: Callable[[Notes], bool] = lambda _: True,
) -> tuple[MappedFile, Notes]:
    """The images of that key, from an earlier call if there was one, else as `write` gives them.

    They get their name only when they are complete, and count only with an entry beside them that tells their shape: an
    interrupted or damaged file is made anew. Processes that ask for the same key at the same time wait for the first.

    Args:
        key: names the images; other images have another one.
        side: height and width in pixels.
        least_bytes: how much room the images need at least.
        write: puts them into the writer, and returns what else is to be known of them, as JSON can hold it.
        holds: whether what an earlier call of `write` returned still holds.

    Raises:
        DataError: the folder cannot be written to, or its disk is full.
    """
    folder = cache_folder() / "images" / key
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _claimed(folder) as alone:
        found = _whole(folder)
        if found is not None and holds(found[1]):
            return found
        with writing(folder):
            _clear(folder, alone)
            free = shutil.disk_usage(folder).free
        if free < least_bytes:
            raise no_room(folder, f"{free / 1e9:.2f} GB of room", f"{least_bytes / 1e9:.2f} GB or more")
        _make(folder, side, write)
    return MappedFile(folder / _IMAGES), _notes(folder)


def _make(folder: Path, side: int, write: Callable[[MappedWriter], Notes]) -> None:
    with writing(folder):
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{_IMAGES}.", suffix=_PART)
        os.close(descriptor)
    part = Path(name)
    try:
        with MappedWriter(part, side) as writer:
            notes = write(writer)
        shape = [writer.count, writer.channels, side, side]
        with writing(folder):
            # mkstemp makes a private file; a cache may be shared.
            part.chmod(0o644)
            part.replace(folder / _IMAGES)
            # Last: without it the images do not count.
            write_atomically(folder / _ENTRY, json.dumps({"shape": shape, "notes": notes}) + "\n")
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _whole(folder: Path) -> tuple[MappedFile, Notes] | None:
    try:
        entry = json.loads((folder / _ENTRY).read_text(encoding="utf-8"))
        images = MappedFile(folder / _IMAGES)
        return (images, dict(entry["notes"])) if list(images.shape) == entry["shape"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _notes(folder: Path) -> Notes:
    return dict(json.loads((folder / _ENTRY).read_text(encoding="utf-8"))["notes"])


def _clear(folder: Path, alone: bool) -> None:
    for name in (_ENTRY, _IMAGES):
        (folder / name).unlink(missing_ok=True)
    if alone:
        for part in folder.glob(f".*{_PART}"):
            part.unlink(missing_ok=True)


@contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """As `hssl.files.claimed`. Where there are no locks the work is done twice, and the last one stays."""
    with ExitStack() as held:
        with writing(folder):
            alone = held.enter_context(files.claimed(folder))
        yield alone
