"""Labels as the network wants them, and choices of images that respect them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hssl.data.split import Indices
from hssl.errors import DataError


def encode_labels(
    train: npt.NDArray[Any], test: npt.NDArray[Any], class_names: tuple[str, ...] | None
) -> tuple[Indices, Indices, tuple[str, ...]]:
    """Labels of both splits as positions 0 .. K-1 in the returned class names.

    Args:
        train, test: labels as a source writes them, integers or strings.
        class_names: what the integers stand for; None when the sorted distinct training labels are the classes.

    Raises:
        DataError: a label outside the class names, a negative label, or a class of the test split that no training
            image has.
    """
    known = np.unique(train)
    unknown = np.setdiff1d(test, known)
    for split, values in (("training", train), ("test", test)):
        if values.dtype.kind != "i":
            continue
        limit = len(class_names) if class_names is not None else np.iinfo(np.int64).max
        outside = values[(values < 0) | (values >= limit)]
        if len(outside):
            raise DataError(
                f"the {split} split has labels that stand for no class",
                arrived=f"label {outside[0]} ({len(outside):,} such images)",
                accepted=f"0 to {limit - 1}" if class_names is not None else "integers from 0",
                remedy="correct the labels, or leave them out of the whole data set to train without",
            )
    if len(unknown):
        shown = [class_names[value] if class_names is not None else str(value) for value in unknown[:5]]
        raise DataError(
            "the test split has classes that no training image has",
            arrived=", ".join(shown) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""),
            accepted=f"the {len(known)} classes of the training split",
            remedy="remove these test images or add training images of their classes",
        )
    if class_names is not None:
        return train.astype(np.int64), test.astype(np.int64), class_names
    return np.searchsorted(known, train), np.searchsorted(known, test), tuple(str(value) for value in known)


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
