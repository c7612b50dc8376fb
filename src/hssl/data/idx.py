"""The IDX files of MNIST and its kin (LeCun, Cortes and Burges): a magic number, big-endian extents, then the bytes."""

import gzip
import math
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hssl.data.split import ArrayPixels, Source, Split
from hssl.errors import DataError

_UNSIGNED_BYTES = 0x08
_GZIP_MAGIC = b"\x1f\x8b"
_PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
_NAME = re.compile(r"((?:train|t10k)-(?:images(?=.idx3)|labels(?=.idx1)))[-.]idx\d-ubyte(?:\.gz)?")
_PLACES = (".", "raw", "MNIST/raw")
ACCEPTED = (
    "IDX files: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte[.gz]"
)


def find_idx(root: Path) -> dict[str, Path]:
    """The IDX files below `root` by their part ('train-images', ...), whatever the case of their names."""
    for folder in (root / place for place in _PLACES):
        # From the last name to the first: of a plain and a packed file the plain one stays.
        names = sorted(os.listdir(folder), reverse=True) if folder.is_dir() else []
        parts = ((_NAME.fullmatch(name.lower()), folder / name) for name in names)
        if found := {name[1]: path for name, path in parts if name and path.is_file()}:
            return found
    return {}


def read_idx(files: dict[str, Path]) -> Source:
    """Training and test images of a folder with MNIST's file names.

    Raises:
        DataError: a missing, truncated or foreign file, or images and labels of different counts.
    """
    folder = next(iter(files.values())).parent
    missing = [part for part in _PARTS if part not in files]
    if missing:
        raise DataError(
            f"the IDX files in {folder} are not complete",
            got=", ".join(path.name for path in files.values()),
            expected=ACCEPTED,
            hint=f"add {', '.join(missing)}",
        )
    train, test = (_read_split(files, part) for part in ("train", "t10k"))
    return Source(description=f"IDX files in {folder}", train=train, held_out=(test,))


def _read_split(files: dict[str, Path], part: str) -> Split:
    images_path, labels_path = files[f"{part}-images"], files[f"{part}-labels"]
    images, labels = parse_idx(images_path, extents=3), parse_idx(labels_path, extents=1)
    if len(images) != len(labels):
        raise DataError(
            "images and labels differ in number",
            got=f"{len(images):,} images in {images_path}, {len(labels):,} labels in {labels_path.name}",
            hint="take both files from the same copy of the data set",
        )
    return Split("train" if part == "train" else "test", ArrayPixels(images), labels.astype(np.int64))


def parse_idx(path: Path, extents: int) -> npt.NDArray[np.uint8]:
    """The array of one IDX file of unsigned bytes, plain or gzip (told by its content, not its name).

    Raises:
        DataError: unreadable, truncated, too long, or not an IDX file of unsigned bytes with that many extents.
    """
    again = "fetch or copy the file again"
    try:
        raw = path.read_bytes()
        if raw[:2] == _GZIP_MAGIC:
            raw = gzip.decompress(raw)
        magic, *shape = struct.unpack_from(f">4s{extents}I", raw)
    except (EOFError, zlib.error, gzip.BadGzipFile, struct.error) as error:
        raise DataError(f"{path} is truncated or damaged", got=f"{error}", hint=again) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read", got=f"{error.strerror or error}") from error
    expected = bytes((0, 0, _UNSIGNED_BYTES, extents))
    if magic != expected:
        is_idx = magic[:2] == b"\0\0"
        kind = f"an IDX file of type 0x{magic[2]:02x} with {magic[3]} extents" if is_idx else "not an IDX file"
        raise DataError(
            f"{path} does not hold what its name says",
            got=f"magic number {magic.hex()}: {kind}",
            expected=f"{expected.hex()}: unsigned bytes with {extents} extents",
            hint=again,
        )
    header = 4 + 4 * extents
    if len(raw) - header != math.prod(shape):
        raise DataError(
            f"{path} is truncated or damaged" if len(raw) - header < math.prod(shape) else f"{path} is too long",
            got=f"{len(raw) - header:,} bytes of data",
            expected=f"{math.prod(shape):,} for the extents {' x '.join(map(str, shape))} in its header",
            hint=again,
        )
    if 0 in shape:
        raise DataError(f"{path} holds no data", got=f"extents {' x '.join(map(str, shape))}")
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)
