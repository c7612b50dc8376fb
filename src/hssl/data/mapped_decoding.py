"""The chosen images of a split, decoded straight into a file of the cache, or found there from before."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
from torch import Tensor

from hssl.config import DataConfig
from hssl.data.cache import Notes, cached_images
from hssl.data.mapped_file import MappedFile, MappedWriter
from hssl.data.mapped_store import MappedStore
from hssl.data.pixels import check_sizes, decode_pieces
from hssl.data.split import ArrayPixels, Encoded, EncodedPixels, Indices, Split
from hssl.data.statistics import channel_counts, statistics_of
from hssl.data.store import images_at_once

# Part of every name in the cache: to be raised when the same files are decoded to other bytes.
_VERSION = 1


@dataclass(frozen=True)
class DecodedFile:
    """Images of a split, and which of the asked ones they are: `pixels.Decoded` in a file.

    Attributes:
        images: uint8 [M, C, R, R], C = 1 when every image is stored as grey (or was made so), else 3.
        positions: int64 [M], the indices in the split.
        left_out: 'name (reason)' of each image that cannot be read.
        counts: float64 [C, 256], the histogram of each channel.
    """

    images: MappedFile
    positions: Indices
    left_out: tuple[str, ...]
    counts: Tensor

    def statistics(self, channels: int) -> tuple[Tensor, Tensor]:
        """As in `Decoded`."""
        return statistics_of(self.counts.expand(channels, -1).contiguous())

    def store(
        self, labels: Tensor | None, mean: Tensor, std: Tensor, class_names: tuple[str, ...], channels: int
    ) -> MappedStore:
        """As in `Decoded`."""
        return MappedStore(self.images, labels, mean, std, class_names, channels)


def decode_to_file(split: Split, indices: Indices, config: DataConfig) -> DecodedFile:
    """As `pixels.decode`, image for image, without ever holding more than a few of them.

    Raises:
        DataError: as `pixels.decode`, or the cache cannot be written to, or its disk is full.
    """
    check_sizes(config)

    def write(writer: MappedWriter) -> Notes:
        beside: list[Path] = []
        counts = torch.zeros(1, 256, dtype=torch.float64)
        missing: list[int] = []
        left_out: list[str] = []
        for piece in decode_pieces(_watched(split, beside), indices, config):
            writer.append(piece.images)
            # Grey images count for each channel of the coloured ones.
            counts = counts + channel_counts(piece.images)
            missing.extend(piece.missing)
            left_out.extend(piece.left_out)
        if writer.channels > len(counts):
            counts = counts.expand(writer.channels, -1)
        return {
            # For people who look into the cache.
            "split": split.name,
            "source": _place(split),
            "missing": missing,
            "left_out": left_out,
            "counts": counts.long().tolist(),
            "beside": [_state(path) for path in beside],
        }

    def holds(notes: Notes) -> bool:
        return all(_state(Path(path)) == [path, *rest] for path, *rest in notes["beside"])

    least = len(indices) * (3 if config.grey is False else 1) * config.resolution**2
    images, notes = cached_images(_key(split, indices, config), config.resolution, least, write, holds)
    positions = np.setdiff1d(indices, np.asarray(notes["missing"], dtype=np.int64), assume_unique=True)
    counts = torch.tensor(notes["counts"], dtype=torch.float64)
    return DecodedFile(images, positions, tuple(notes["left_out"]), counts)


def _key(split: Split, indices: Indices, config: DataConfig) -> str:
    """A hash over all that the decoded bytes depend on; of files their path, size and time of change."""
    digest = hashlib.sha256()
    settings = (config.resolution, config.fit, config.resize_to, config.strict, config.grey)
    digest.update(repr((_VERSION, PIL.__version__, torch.__version__, settings, len(indices))).encode())
    digest.update(np.ascontiguousarray(indices).data)
    if isinstance(split.pixels, ArrayPixels):
        array = split.pixels.array
        digest.update(repr(array.shape).encode())
        step = images_at_once(1, *array.shape[1:])
        for start in range(0, len(indices), step):
            digest.update(array[indices[start : start + step]].tobytes())
    else:
        digest.update(split.pixels.version.encode())
        for path in split.pixels.files:
            digest.update(repr(_state(path)).encode())
    return digest.hexdigest()[:32]


def _state(path: Path) -> list[Any]:
    """The file's absolute path, size and time of change, None for a file that cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return [str(path.absolute()), None, None]
    return [str(path.absolute()), status.st_size, status.st_mtime_ns]


def _place(split: Split) -> str:
    """The folder that all files of a split lie in; empty where its images lie in none."""
    files = [] if isinstance(split.pixels, ArrayPixels) else [path.absolute().parent for path in split.pixels.files]
    return os.path.commonpath(files) if files else ""


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
