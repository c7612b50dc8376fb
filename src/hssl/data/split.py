"""What is known of a data set before its pixels are decoded: how many images, their labels, and where each one lies."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Indices: TypeAlias = npt.NDArray[np.int64]

# In the order of preference when a source has several.
HELD_OUT_NAMES = ("test", "testing", "validation", "valid", "val")
TRAIN_NAMES = ("train", "training")


class Encoded(NamedTuple):
    """An image file: its name for people, and its bytes, its path, or None where a source lists it without content."""

    name: str
    content: bytes | Path | None


@dataclass(frozen=True)
class ArrayPixels:
    """Images of one size that are already bytes: uint8 [N, H, W], grey."""

    array: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.array)


@dataclass(frozen=True)
class EncodedPixels:
    """Image files, read on demand: `read(indices)` yields one `Encoded` an index, for indices in ascending order.

    `files` are all files that the images lie in; `version` tells apart what is read from the same files.
    """

    count: int
    read: Callable[[Indices], Iterator[Encoded]]
    files: tuple[Path, ...]
    version: str = ""

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True)
class Split:
    """Images with labels as the source writes them: integers or strings [N], None where there are none."""

    name: str
    pixels: ArrayPixels | EncodedPixels
    labels: npt.NDArray[Any] | None

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Source:
    """An opened data set. `held_out` lists its test splits, the preferred one first; empty where it has none.

    `class_names` is given where the source declares them (labels then are positions in it), None where the labels
    themselves are the names.
    """

    description: str
    train: Split
    held_out: tuple[Split, ...]
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def find_train(names: Iterable[str]) -> str | None:
    """The name that means the training split, whatever its case."""
    return next(iter(_matching(names, TRAIN_NAMES)), None)


def find_held_out(names: Iterable[str]) -> list[str]:
    """The names that mean a test split, the preferred one first."""
    return _matching(names, HELD_OUT_NAMES)


def _matching(names: Iterable[str], wanted: tuple[str, ...]) -> list[str]:
    ranked = [(wanted.index(name.lower()), name) for name in names if name.lower() in wanted]
    return [name for _, name in sorted(ranked)]
