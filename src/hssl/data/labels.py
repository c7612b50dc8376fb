"""Labels as the network wants them, and choices of images that respect them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hssl.data.split import Indices, Labelled, quoted
from hssl.errors import DataError


def join_labels(parts: Sequence[Labelled], notes: list[str]) -> tuple[npt.NDArray[Any], tuple[str, ...] | None]:
    """Labels of all parts, one after the other, and what they stand for: a class is one name, whatever its numbers.

    Args:
        parts: integers without names are read by the names of the other parts, which is told in `notes`.

    Returns:
        positions in the names, which come in the order in which the parts declare them; the labels as they are, and
        None, where no part declares names.

    Raises:
        DataError: a label outside a part's names, a negative one, or integers beside names that they may not mean.
    """
    parts = [part for part in parts if len(part.values)] or parts[:1]
    words = [part for part in parts if part.values.dtype.kind == "U"]
    bare = [part for part in parts if part.values.dtype.kind != "U" and part.names is None]
    declared = [part for part in parts if part.names is not None]
    if bare and (words or len({part.names for part in declared}) > 1):
        raise DataError(
            "it cannot be told which classes some labels mean",
            got=f"numbers without names in {bare[0].where}; "
            + (f"words in {words[0].where}" if words else f"names in several orders, such as in {declared[0].where}"),
            expected="numbers everywhere, words everywhere, or class names declared beside the numbers",
            hint="write the labels of all files and splits in the same way",
        )
    if bare and declared:
        notes.append(
            f"no class names are declared in {', '.join(part.where for part in bare)}: its labels are read by those of "
            f"{declared[0].where}"
        )
        parts = [part._replace(names=part.names or declared[0].names) for part in parts]
    for part in parts:
        _check_range(part)
    if not declared:
        return np.concatenate([part.values for part in parts]), None
    classes: dict[str, int] = {}
    joined = []
    for _, values, names in parts:
        if names is None:
            distinct, values = np.unique(values, return_inverse=True)
            names = tuple(map(str, distinct))
        places = np.array([classes.setdefault(name, len(classes)) for name in names], dtype=np.int64)
        joined.append(places[values])
    return np.concatenate(joined), tuple(classes)


def _check_range(part: Labelled) -> None:
    if part.values.dtype.kind == "U":
        return
    limit = len(part.names) if part.names is not None else np.iinfo(np.int64).max
    outside = part.values[(part.values < 0) | (part.values >= limit)]
    if len(outside):
        raise DataError(
            f"{part.where} has labels that stand for no class",
            got=f"label {outside[0]} ({len(outside):,} such images)",
            expected=f"0 to {limit - 1}" if part.names is not None else "integers from 0",
            hint="correct the labels, or leave them out of the whole data set to train without",
        )


def encode_labels(
    train: Labelled | None, test: Labelled | None, notes: list[str]
) -> tuple[Indices | None, Indices | None, tuple[str, ...]]:
    """Labels of both splits as positions 0 .. K-1 in the returned class names.

    The classes are those that the training split declares, else those that the test split declares, else the sorted
    distinct training labels. Where all labels are one, which is told in `notes`, or a split has none, there are none.

    Raises:
        DataError: as `join_labels`, or a class of the test split that no training image has.
    """
    if train is None or test is None:
        return None, None, ()
    values, names = join_labels((train, test), notes)
    if names is None:
        distinct, values = np.unique(values, return_inverse=True)
        names = tuple(map(str, distinct))
    first, second = values[: len(train.values)], values[len(train.values) :]
    known = np.unique(first)
    if len(unknown := np.setdiff1d(second, known)):
        raise DataError(
            "the test split has classes that no training image has",
            got=quoted(names[code] for code in unknown),
            expected=f"the {len(known)} classes of the training split",
            hint="remove these test images or add training images of their classes",
        )
    if len(known) == 1:
        notes.append(f"all images have the one label '{names[known[0]]}': they are used without labels")
        return None, None, ()
    # Without the names that the test split alone declares, and does not use.
    return first, second, names[: len(train.names or (known if train.values.dtype.kind == "U" else names))]


def balanced_choice(labels: npt.NDArray[Any] | None, available: int, count: int, seed: tuple[int, ...]) -> Indices:
    """`count` of `available` images, as many of each class as there are to have; uniform without labels.

    Returns:
        ascending distinct indices, a function of the arguments alone: the same on every machine and NumPy version.
    """
    order = _shuffled(available, seed)
    if labels is not None:
        turn, _ = _rank_within_class(labels[order])
        order = order[np.argsort(turn, kind="stable")]
    return np.sort(order[:count])


def hold_out(
    labels: npt.NDArray[Any] | None, available: int, count: int, seed: tuple[int, ...]
) -> tuple[Indices, Indices]:
    """Splits `available` images into (kept, held out), each class in proportion; each class stays in 'kept'.

    Fewer than `count` images are held out where the classes are too small to give that many.
    """
    order = _shuffled(available, seed)
    if labels is not None:
        turn, size = _rank_within_class(labels[order])
        last = turn == size - 1
        place = np.where(last, np.inf, (turn + 0.5) / size)
        order = order[np.argsort(place, kind="stable")]
        count = min(count, int((~last).sum()))
    return np.sort(order[count:]), np.sort(order[:count])


def _shuffled(count: int, seed: tuple[int, ...]) -> Indices:
    # NumPy promises the raw stream of a bit generator for ever, but not what `permutation` makes of it.
    return np.argsort(np.random.PCG64(seed).random_raw(count), kind="stable")


def _rank_within_class(labels: npt.NDArray[Any]) -> tuple[Indices, Indices]:
    """For each image how many of its class come before it, and how many its class has."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = np.argsort(inverse, kind="stable")
    starts = np.cumsum(counts) - counts
    turn = np.empty(len(labels), dtype=np.int64)
    turn[by_class] = np.arange(len(labels)) - starts[inverse[by_class]]
    return turn, counts[inverse]
