"""A folder of image files: with class sub-folders or without, with train and test folders or without."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hssl.data.split import HELD_OUT_NAMES, Encoded, EncodedPixels, Indices, Source, Split, by_meaning, meaning, quoted
from hssl.errors import DataError

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".bmp", ".gif", ".webp", ".avif", ".tif", ".tiff", ".ppm", ".pgm",
    ".pbm", ".pnm", ".tga",
)  # fmt: skip
ACCEPTED = "a folder of images: train/ and test/ (or val/), or one folder, with a sub-folder for each class or without"
# What file servers and systems put beside one's own folders, besides those with a dot.
_FOREIGN = (
    "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "lost+found",
    "system volume information",
)  # fmt: skip


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is none of the user's images: thumbnails, waste, what an archiver adds."""
    return name.startswith((".", "__MACOSX")) or name.lower() in _FOREIGN


def folders(root: Path) -> list[Path]:
    """The folders in `root` by name, without hidden ones."""
    return sorted(root / entry.name for entry in os.scandir(root) if entry.is_dir() and not is_hidden(entry.name))


def has_images(root: Path) -> bool:
    """Whether at least one image file lies anywhere below `root`."""
    return next(_walk(root), None) is not None


def read_folder(root: Path) -> Source:
    """Images below root/train and root/test, root/val or root/valid; or all below `root`, for the caller to divide.

    The folder next below a split names the class; images nested deeper belong to it too. A split whose images all lie
    in the split's own folder has no labels, and neither has training data in one sub-folder.

    Raises:
        DataError: images lie both beside and inside class folders; the training folder has none, or is missing beside
            a test folder; or it cannot be told whether a folder is a split or a class.
    """
    train, held_out, others = by_meaning(folder.name for folder in folders(root))
    held_out = [name for name in held_out if has_images(root / name)]
    notes: list[str] = []
    if not train and not held_out:
        split = _read_split(root, "train", notes)
        _check_undivided(root, split)
        return Source(f"images in {root}", split, (), tuple(notes))
    beside = [name for name in train[1:] + others if has_images(root / name)]
    beside += sorted(entry.name for entry in os.scandir(root) if entry.is_file() and _is_image(entry.name))
    if not train:
        raise DataError(
            f"{root} has test images and no training images",
            got=quoted(held_out + beside),
            expected=ACCEPTED,
            hint=f"add train/; or, to train on them, --data.root {root / held_out[0]}; or, where that is a class, "
            "put all classes below train/",
        )
    split = _read_split(root / train[0], "train", notes)
    if not len(split):
        raise DataError(f"{root / train[0]} has no images", expected=ACCEPTED, hint="put the training images there")
    if beside and not held_out and split.labels is None:
        raise DataError(
            f"it cannot be told whether '{train[0]}' in {root} is the training split or a class",
            got=f"beside it {quoted(beside)}",
            expected=ACCEPTED,
            hint="put all class folders below train/, or move what is not to be trained on away",
        )
    if beside:
        notes.append(f"images beside the folder '{train[0]}' are not used: {quoted(beside)}")
    least = 2 if split.labels is None else 1
    read = tuple(_read_split(root / name, name, notes, least) for name in held_out)
    return Source(f"images in {root}", split, read, tuple(notes))


def _read_split(root: Path, name: str, notes: list[str], least_classes: int = 2) -> Split:
    paths = sorted(_walk(root), key=lambda path: path.relative_to(root).as_posix())
    parts = [path.relative_to(root).parts for path in paths]
    classes = sorted({part[0] for part in parts if len(part) > 1})
    loose = [part[0] for part in parts if len(part) == 1]
    if loose and classes:
        raise DataError(
            f"images lie both in {root} and in its sub-folders, so that their classes cannot be told",
            got=f"{len(loose):,} beside the folders ({loose[0]}, ...), sub-folders {', '.join(classes[:5])}",
            expected="every image in the sub-folder of its class, or every image in one folder",
            hint=f"move {loose[0]} into a class folder or away",
        )
    if empty := sorted({folder.name for folder in folders(root)} - set(classes)):
        notes.append(f"no images are in these folders of the split '{name}': {quoted(empty)}")
    if 0 < len(classes) < least_classes:
        notes.append(f"all images of the split '{name}' lie in the one folder '{classes[0]}': they have no labels")
        classes = []
    labels = np.asarray([part[0] for part in parts], dtype=np.str_) if classes else None

    def read(indices: Indices) -> Iterator[Encoded]:
        for index in indices:
            yield Encoded(paths[index].relative_to(root.parent).as_posix(), paths[index])

    return Split(name, EncodedPixels(len(paths), read, tuple(paths)), labels)


def _check_undivided(root: Path, split: Split) -> None:
    """Raises DataError where test images would be among those of a folder that names no splits itself."""
    assert isinstance(split.pixels, EncodedPixels)
    for folder in sorted({path.parent.relative_to(root) for path in split.pixels.files}):
        for part in (folder, *folder.parents):
            if meaning(part.name) in HELD_OUT_NAMES:
                raise DataError(
                    f"a folder of test images lies deeper than in {root}",
                    got=part.as_posix(),
                    expected=ACCEPTED,
                    hint=f"--data.root {root / part.parent}, or rename the folder if its images are to be trained on",
                )


def _is_image(name: str) -> bool:
    return not is_hidden(name) and name.lower().endswith(SUFFIXES)


def _walk(root: Path) -> Iterator[Path]:
    """Image files below `root`, through links, without hidden ones.

    Raises:
        OSError: a folder that it is not allowed to look into.
    """

    def refuse(error: OSError) -> None:
        raise error

    seen: set[str] = set()
    for folder, below, files in os.walk(root, onerror=refuse, followlinks=True):
        # A link to a folder above would be walked for ever.
        if (real := os.path.realpath(folder)) in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not is_hidden(name))
        yield from (Path(folder, name) for name in files if _is_image(name))
