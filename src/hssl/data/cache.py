"""The chosen images of a split, decoded once into a file of the cache that every later run finds there."""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import PIL
import torch
from torch import Tensor

from hssl import files
from hssl.data.decoding import check_sizes, decode
from hssl.data.settings import DataSettings
from hssl.data.split import ArrayPixels, Encoded, EncodedPixels, Indices, Split
from hssl.data.store import MappedImages, channel_counts
from hssl.errors import DataError
from hssl.shapes import StoredImages

# Part of every name in the cache: to be raised when the same files are decoded to other bytes.
_VERSION = 2
_IMAGES, _ENTRY = "images.bin", "entry.json"


class Mapped(NamedTuple):
    """`decoding.Decoded` in a file, with the histogram of each channel: float64 [C, 256]."""

    images: MappedImages
    kept: npt.NDArray[np.bool_]
    left_out: tuple[str, ...]
    counts: Tensor


def decode_to_file(split: Split, indices: Indices, config: DataSettings) -> Mapped:
    """As `decode`, image for image, without ever holding more than a few of them.

    The images get their name only when they are complete, and count only with an entry beside them that tells their
    shape: an interrupted or damaged file is made anew. Processes that ask for the same images at the same time wait
    for the first; where there are no locks the work is done twice, and the last one stays.

    Raises:
        DataError: as `decode`, or the cache cannot be written to, or its disk is full.
    """
    check_sizes(config)
    folder = cache_folder() / "images" / _key(split, indices, config)
    with ExitStack() as held:
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            alone = held.enter_context(files.claimed(folder))
        found = _found(folder, len(indices))
        if found is None:
            with _writing(folder):
                (folder / _ENTRY).unlink(missing_ok=True)
                if alone:
                    files.remove_leftovers(folder)
            found = _made(folder, split, indices, config)
        return found


def cache_folder() -> Path:
    """`hssl.files.cache_folder`, for images.

    Raises:
        DataError: there is no home folder to put it in.
    """
    try:
        return files.cache_folder()
    except RuntimeError as error:
        raise DataError(
            "there is no home folder for the cache of images", got=error, hint="set HSSL_CACHE to a folder"
        ) from error


def _found(folder: Path, asked: int) -> Mapped | None:
    """What lies there, None where it is damaged, or one of the images it was made of has changed."""
    try:
        entry = json.loads((folder / _ENTRY).read_text(encoding="utf-8"))
        if any(_state(Path(state[0])) != state for state in entry["beside"]):
            return None
        kept = np.ones(asked, dtype=np.bool_)
        kept[entry["missing"]] = False
        counts = torch.tensor(entry["counts"], dtype=torch.float64)
        count, channels, side, _ = entry["shape"]
        images = MappedImages(folder / _IMAGES, (count, channels, side, side))
        return Mapped(images, kept, tuple(entry["left_out"]), counts)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _made(folder: Path, split: Split, indices: Indices, config: DataSettings) -> Mapped:
    with _writing(folder):
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{_IMAGES}.", suffix=".part")
    part = Path(name)

    def room(shape: tuple[int, int, int, int]) -> StoredImages:
        """The bytes of the file. Reserved before anything is written to them: on a full disk that would end us."""
        size = math.prod(shape)
        if not size:
            return torch.empty(shape, dtype=torch.uint8)
        with _writing(folder, f"{size / 1e9:.2f} GB of room"):
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            else:
                os.truncate(descriptor, size)
        return torch.from_numpy(np.memmap(part, np.uint8, "r+", shape=shape))

    try:
        beside: list[Path] = []
        decoded = decode(_watched(split, beside), indices, config, room)
        shape, counts = decoded.images.shape, channel_counts(decoded.images)
        entry = {
            "shape": shape,
            # For people who look into the cache.
            "split": split.name,
            "files": [str(path.absolute()) for path in split.pixels.files[:1]],
            "missing": np.flatnonzero(~decoded.kept).tolist(),
            "left_out": decoded.left_out,
            "counts": counts.long().tolist(),
            "beside": [_state(path) for path in beside],
        }
        with _writing(folder):
            os.truncate(descriptor, math.prod(shape))
            os.fsync(descriptor)
            # mkstemp makes a private file; a cache may be shared.
            part.chmod(0o644)
            part.replace(folder / _IMAGES)
            # Last: without it the images do not count.
            files.write_atomically(folder / _ENTRY, json.dumps(entry) + "\n")
        return Mapped(MappedImages(folder / _IMAGES, (shape[0], *shape[1:])), decoded.kept, decoded.left_out, counts)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _key(split: Split, indices: Indices, config: DataSettings) -> str:
    """A hash over all that the decoded bytes depend on; of files their path, size and time of change."""
    digest = hashlib.sha256()
    settings = (config.resolution, config.fit, config.resize_to, config.strict, config.grey)
    digest.update(repr((_VERSION, PIL.__version__, torch.__version__, settings, len(indices))).encode())
    digest.update(np.ascontiguousarray(indices).data)
    if isinstance(split.pixels, ArrayPixels):
        digest.update(split.pixels.array[indices].tobytes() + repr(split.pixels.array.shape[1:]).encode())
    else:
        digest.update(repr((split.pixels.version, [_state(path) for path in split.pixels.files])).encode())
    return digest.hexdigest()[:32]


def _state(path: Path) -> list[Any]:
    """The file's absolute path, size and time of change, None for a file that cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return [str(path.absolute()), None, None]
    return [str(path.absolute()), status.st_size, status.st_mtime_ns]


def _watched(split: Split, beside: list[Path]) -> Split:
    """The same split, which notes the image files that a table refers to: its own state says nothing of theirs."""
    pixels = split.pixels
    if not isinstance(pixels, EncodedPixels):
        return split
    known = frozenset(pixels.files)

    def read(indices: Indices) -> Iterator[Encoded]:
        for encoded in pixels.read(indices):
            if isinstance(encoded.content, Path) and encoded.content not in known:
                beside.append(encoded.content)
            yield encoded

    return replace(split, pixels=replace(pixels, read=read))


@contextmanager
def _writing(folder: Path, expected: str | None = None) -> Iterator[None]:
    """Tells people what went wrong while something was written to a folder of the cache.

    Raises:
        DataError: for any OSError inside.
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"the images cannot be written to the cache in {folder}",
            got=error.strerror or error,
            expected=expected,
            hint="set HSSL_CACHE to a folder with room, delete what is no longer used there, or --data.store memory",
        ) from error
