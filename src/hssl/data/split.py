"""What is known of a data set before its pixels are decoded: how many images, their labels, and where each one lies."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Indices: TypeAlias = npt.NDArray[np.int64]

# In the order of preference when a source has several.
TRAIN_NAMES = ("train", "training", "trainval")
HELD_OUT_NAMES = ("test", "testing", "validation", "valid", "val", "dev", "eval", "evaluation")
_NAMES = "|".join(TRAIN_NAMES + HELD_OUT_NAMES)
# 'train', 'Train', 'train2017' and 'test_set', but not 'train station'.
_WHOLE_NAME = re.compile(rf"({_NAMES})(?:[-_. ]*(?:set|split|images|data|\d+))?")
# 'train-00000-of-00005', 'cifar10_train' and 'trainset1', but not 'value'.
_WITHIN_NAME = re.compile(rf"(?<![a-z])({_NAMES})(?:set|split|images|data)?(?![a-z])")


class Encoded(NamedTuple):
    """An image file: its name for people, and its bytes, its path, or None where a source lists it without content."""

    name: str
    content: bytes | Path | None


@dataclass(frozen=True)
class ArrayPixels:
    """Images of one size that are already bytes: uint8 [N, H, W], grey, or [N, H, W, 3]."""

    array: npt.NDArray[np.uint8]
    files: tuple[Path, ...] = ()

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


class Labelled(NamedTuple):
    """Labels that one split or one of its files writes.

    Attributes:
        where: for people.
        values: integers or strings [N].
        names: what the integers stand for; None where it does not say.
    """

    where: str
    values: npt.NDArray[Any]
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Split:
    """Images with labels as the source writes them: integers or strings [N], None where there are none.

    `class_names` is what integers stand for, None where this split does not say. Other splits may number otherwise.
    """

    name: str
    pixels: ArrayPixels | EncodedPixels
    labels: npt.NDArray[Any] | None
    class_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def labelled(self, rows: Indices) -> Labelled | None:
        """The labels of those rows, None without."""
        return None if self.labels is None else Labelled(f"split '{self.name}'", self.labels[rows], self.class_names)


@dataclass(frozen=True)
class Source:
    """An opened data set. `held_out` lists its test splits, the preferred one first; empty where it has none."""

    description: str
    train: Split
    held_out: tuple[Split, ...]
    notes: tuple[str, ...] = ()


def meaning(name: str) -> str | None:
    """The split that the name of a folder or of a split stands for; None when it stands for none."""
    found = _WHOLE_NAME.fullmatch(name.lower())
    return found[1] if found else None


def meaning_of_file(stem: str) -> str | None:
    """The one split that the name of a file speaks of; None when it speaks of none, or of several."""
    found = set(_WITHIN_NAME.findall(stem.lower()))
    return found.pop() if len(found) == 1 else None


def by_meaning(names: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Names of training splits, names of test splits, the preferred ones first, and all others."""
    names = sorted(names)
    train, held_out = (
        sorted((name for name in names if meaning(name) in wanted), key=lambda name: wanted.index(str(meaning(name))))
        for wanted in (TRAIN_NAMES, HELD_OUT_NAMES)
    )
    return train, held_out, [name for name in names if meaning(name) is None]


def quoted(names: Iterable[str], at_most: int = 5) -> str:
    """Names for a message: 'a', 'b' and 3 more."""
    listed = [f"'{name}'" for name in names]
    more = len(listed) - at_most
    return ", ".join(listed[:at_most]) + (f" and {more:,} more" if more > 0 else "")


def first_line(error: Exception) -> str:
    """What an error of a library says, for a message."""
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
