"""A folder of image files: with class sub-folders or without, with train and test folders or without."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hssl.data.split import Encoded, EncodedPixels, Indices, Source, Split, find_held_out, find_train
from hssl.errors import DataError

SUFFIXES = frozenset(
    (
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".jp2",
        ".bmp",
        ".gif",
        ".webp",
        ".avif",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".tga",
    )
)
ACCEPTED = "a folder of images: train/ and test/ (or val/), or one folder, with a sub-folder for each class or without"


def has_images(root: Path) -> bool:
    """Whether at least one image file lies anywhere below `root`."""
    return next(_walk(root), None) is not None


def read_folder(root: Path) -> Source:
    """Images below root/train and root/test, root/val or root/valid; or all below `root`, for the caller to divide.

    The folder next below a split names the class; images nested deeper belong to it too. A split whose images all lie
    in the split's own folder, or all in one sub-folder, has no labels.

    Raises:
        DataError: images lie both beside and inside class folders, or the training folder has none.
    """
    folders = {entry.name for entry in root.iterdir() if entry.is_dir()}
    train = find_train(folders)
    if train is None:
        return Source(f"images in {root}", _read_split(root, "train"), ())
    split = _read_split(root / train, "train")
    if not len(split):
        raise DataError(f"{root / train} has no images", accepted=ACCEPTED, remedy="put the training images there")
    held_out = tuple(read for name in find_held_out(folders) if len(read := _read_split(root / name, name)))
    return Source(f"images in {root}", split, held_out)


def _read_split(root: Path, name: str) -> Split:
    paths = sorted(_walk(root), key=lambda path: path.relative_to(root).as_posix())
    parts = [path.relative_to(root).parts for path in paths]
    classes = sorted({part[0] for part in parts if len(part) > 1})
    loose = [part[0] for part in parts if len(part) == 1]
    if loose and classes:
        raise DataError(
            f"images lie both in {root} and in its sub-folders, so that their classes cannot be told",
            arrived=f"{len(loose):,} beside the folders ({loose[0]}, ...), sub-folders {', '.join(classes[:5])}",
            accepted="every image in the sub-folder of its class, or every image in one folder",
            remedy=f"move {loose[0]} into a class folder or away",
        )
    labels = np.asarray([part[0] for part in parts], dtype=np.str_) if len(classes) > 1 else None

    def read(indices: Indices) -> Iterator[Encoded]:
        for index in indices:
            yield Encoded(paths[index].relative_to(root.parent).as_posix(), paths[index])

    return Split(name, EncodedPixels(len(paths), read, tuple(paths)), labels)


def _walk(root: Path) -> Iterator[Path]:
    """Image files below `root`, through links, without hidden ones."""
    seen: set[str] = set()
    for folder, below, files in os.walk(root, followlinks=True):
        # A link to a folder above would be walked for ever.
        if (real := os.path.realpath(folder)) in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith((".", "__MACOSX")))
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield Path(folder, name)
