"""`load_data`: a configuration in, two stores of images out, whatever the layout of the files."""

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hssl.config import DataConfig
from hssl.data import folder, hub, idx, parquet
from hssl.data.digits import read_digits
from hssl.data.labels import balanced_choice, encode_labels, hold_out
from hssl.data.mapped_decoding import DecodedFile, decode_to_file
from hssl.data.memory import available_memory
from hssl.data.pixels import Decoded, decode
from hssl.data.split import ArrayPixels, Indices, Source, Split
from hssl.data.store import Store
from hssl.errors import ConfigurationError, DataError, nearest

# A held-out split belongs to the data, not to the run: every seed is measured on the same images.
_HOLD_OUT_SEED = (20221108,)
_VALIDATION_SEED = (20221109,)
_TRAIN, _TEST = 0, 1
_NAMED_AT_MOST = 10

# name: (channels, classes), to refuse a folder that holds something else than the configuration says.
_KNOWN = {"digits": (1, 10), "mnist": (1, 10), "cifar10": (3, 10), "tiny-imagenet": (3, 200)}
_LAYOUTS = "; ".join((idx.ACCEPTED, parquet.ACCEPTED, hub.ACCEPTED, folder.ACCEPTED))


@dataclass(frozen=True)
class DataSets:
    """What a run trains and is tested on.

    Attributes:
        train, test: stores with the same channels, resolution, normalisation and classes, on the CPU.
        channels: 1 when every image of both is grey (or made so by the configuration), else 3.
        num_classes: None without labels. Both stores have labels, or neither.
        source: one line for people: what it is and where it lies.
        notes: one line for everything that is not as one might expect, such as images left out.
    """

    train: Store
    test: Store
    channels: int
    num_classes: int | None
    source: str
    notes: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """A hash over both stores: names of the classes, labels and every pixel, in their order."""
        digest = hashlib.sha256(repr(self.train.class_names).encode())
        for store in (self.train, self.test):
            digest.update(repr(store.shape).encode())
            for piece in store.pieces():
                digest.update(piece.cpu().numpy().data)
            digest.update(b"none" if store.labels is None else store.labels.cpu().numpy().tobytes())
        return digest.hexdigest()[:32]

    def summary(self) -> dict[str, Any]:
        """Plain data that tells whether other data is this data: what a run's folder keeps of it."""
        return {
            "source": self.source,
            "train_images": len(self.train),
            "test_images": len(self.test),
            "channels": self.channels,
            "classes": list(self.train.class_names),
            "fingerprint": self.fingerprint(),
        }


def load_data(config: DataConfig, seed: int = 0) -> DataSets:
    """Opens, chooses, decodes and normalises the configured images.

    With `config.root` the layout is told by what the folder holds: IDX files, parquet files, a saved Hugging Face data
    set or image files. Only chosen images are decoded, into memory or into files of the cache as `config.store` says:
    the images, their statistics and their order are the same. Statistics come from the training store alone.

    Args:
        seed: of the choice of `train_images` and `test_images`; it does not move the border between train and test.

    Raises:
        DataError: data that is missing, empty, truncated, inconsistent or unreadable, or not what its name says.
        ConfigurationError: an unknown name, a root for embedded data, or sizes that contradict each other.
    """
    source = _open(config)
    source, train_rows, test_rows = _divide(source, config.test_fraction, config.validation_images)
    notes = list(source.notes)
    train, test = source.train, source.held_out[0]
    train_labels: Indices | None = None
    test_labels: Indices | None = None
    names: tuple[str, ...] = ()
    if train.labels is not None and test.labels is not None:
        # All labels, not only the chosen ones: a class keeps its number whatever is chosen.
        train_labels, test_labels, names = encode_labels(
            train.labels[train_rows], test.labels[test_rows], source.class_names
        )

    train_rows, train_labels = _choose(train_rows, train_labels, config.train_images, (seed, _TRAIN), "training", notes)
    test_rows, test_labels = _choose(test_rows, test_labels, config.test_images, (seed, _TEST), "test", notes)
    to_file = _is_mapped(config, {"training": (train, train_rows), "test": (test, test_rows)}, notes)
    train_part = _decoded(train, train_rows, config, to_file, "training", notes, at_least=2)
    test_part = _decoded(test, test_rows, config, to_file, "test", notes, at_least=1)

    # Both with three channels if one of them has three.
    channels = max(train_part.images.shape[1], test_part.images.shape[1])
    mean, std = torch.zeros(channels), torch.ones(channels)
    if config.normalize == "standardize":
        mean, std = train_part.statistics(channels)
    if config.name in _KNOWN and config.root is not None:
        _check_known(config, channels, len(names))
    return DataSets(
        train=train_part.store(_kept(train_labels, train_rows, train_part), mean, std, names, channels),
        test=test_part.store(_kept(test_labels, test_rows, test_part), mean, std, names, channels),
        channels=channels,
        num_classes=len(names) or None,
        source=f"{source.description}: {len(train_part.images):,} training and {len(test_part.images):,} test images",
        notes=tuple(notes),
    )


def _open(config: DataConfig) -> Source:
    if config.name == "digits" and config.root is not None:
        raise ConfigurationError(
            "the digits are embedded and lie in no folder",
            arrived=f"data.root {config.root} with data.name digits",
            remedy="drop --data.root, or start from a folder-* recipe (one's own images) or an mnist-* recipe",
        )
    if config.root is not None:
        return _open_root(Path(config.root).expanduser())
    if config.name == "digits":
        return read_digits()
    if config.name in hub.REPOSITORIES:
        return hub.read_hub(hub.REPOSITORIES[config.name])
    if config.name.startswith("hub:"):
        repository = config.name.removeprefix("hub:")
        if not repository or len(repository.split("/")) > 2 or not all(repository.split("/")):
            raise ConfigurationError(
                "the name of a hub data set is incomplete", arrived=config.name, accepted="hub:OWNER/NAME"
            )
        return hub.read_hub(repository)
    if config.name == "folder":
        raise ConfigurationError("a folder of images needs its path", remedy="give the folder with --data.root")
    known = [*_KNOWN, "folder", "hub:OWNER/NAME"]
    raise ConfigurationError(
        f"there is no data set '{config.name}'", accepted=", ".join(known), remedy=nearest(config.name, known)
    )


def _open_root(root: Path) -> Source:
    try:
        if not root.exists():
            raise DataError(f"the folder {root} does not exist", remedy="correct --data.root")
        if not root.is_dir():
            raise DataError(f"{root} is a file", accepted="a folder", remedy=f"--data.root {root.parent}")
        if (idx_files := idx.find_idx(root)) is not None:
            return idx.read_idx(idx_files)
        if hub.is_saved(root):
            return hub.read_saved(root)
        if (parquet_files := parquet.find_parquet(root)) is not None:
            return parquet.read_parquet(parquet_files)
        if folder.has_images(root):
            return folder.read_folder(root)
    except OSError as error:
        raise DataError(f"{root} cannot be read", arrived=f"{error.strerror or error}") from error
    raise DataError(
        f"{root} holds no images in a layout that is known",
        arrived=_inventory(root),
        accepted=_LAYOUTS,
        remedy="point --data.root at the folder that holds the files themselves",
    )


def _inventory(root: Path) -> str:
    entries = sorted(root.iterdir())
    if not entries:
        return "an empty folder"
    kinds = Counter("folder" if entry.is_dir() else entry.suffix or "file without ending" for entry in entries)
    return ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common(8)) + f" (such as {entries[0].name})"


def _divide(source: Source, fraction: float, validation: int | None = None) -> tuple[Source, Indices, Indices]:
    """The source with exactly one test split and labels on both splits or neither; the rows that belong to each.

    With `validation` the test split is that many images of the training split, and the source's own is not looked at.
    A source without a test split keeps the images that it would hold out for the test out of both.
    """
    notes = list(source.notes)
    train, held_out = source.train, source.held_out
    if validation is not None:
        whole, kept, _ = _divide(source, fraction)
        kept = kept if whole.held_out[0] is train else np.arange(len(train))
        labels = None if train.labels is None else train.labels[kept]
        rest, out = hold_out(labels, len(kept), validation, _VALIDATION_SEED)
        if len(out) < validation or len(rest) < 2:
            raise DataError(
                f"there are too few training images to hold that many out: {source.description}",
                arrived=f"data.validation_images {validation}, {len(kept):,} training images",
                accepted="at least 2 images left to train on, and every class among them",
                remedy="lower --data.validation_images",
            )
        notes.append(f"measured on {len(out):,} images held out of the training set, not on test images")
        return replace(source, held_out=(train,), notes=tuple(notes)), kept[rest], kept[out]
    if train.labels is None:
        if any(split.labels is not None for split in held_out):
            notes.append("the training images carry no labels, so those of the test images are not used")
        held_out = tuple(replace(split, labels=None) for split in held_out)
        usable = held_out
    else:
        usable = tuple(split for split in held_out if split.labels is not None)
        if held_out and held_out[:1] != usable[:1]:
            instead = f"split '{usable[0].name}' is used" if usable else "a share of the training images is held out"
            notes.append(f"the split '{held_out[0].name}' carries no labels; {instead} instead")
    if usable:
        rows = np.arange(len(train)), np.arange(len(usable[0]))
        return replace(source, held_out=usable[:1], notes=tuple(notes)), *rows

    wanted = max(1, round(len(train) * fraction))
    kept, out = hold_out(train.labels, len(train), wanted, _HOLD_OUT_SEED)
    if len(out) == 0 or len(kept) < 2:
        raise DataError(
            f"there are too few images to hold some out for the test: {source.description}",
            arrived=f"{len(train)} images"
            + ("" if train.labels is None else f" of {len(np.unique(train.labels))} classes"),
            accepted="at least 2 training images and 1 for the test; a class of one image stays in training",
            remedy="add images, or a test split of their own",
        )
    notes.append(f"there is no test split: {len(out):,} of {len(train):,} images are held out, the same for every seed")
    return replace(source, held_out=(train,), notes=tuple(notes)), kept, out


def _choose(
    rows: Indices, labels: Indices | None, wanted: int | None, seed: tuple[int, int], what: str, notes: list[str]
) -> tuple[Indices, Indices | None]:
    if wanted is None or wanted == len(rows):
        return rows, labels
    if wanted > len(rows):
        notes.append(f"{wanted:,} {what} images were asked for, there are {len(rows):,}: all are used")
        return rows, labels
    chosen = balanced_choice(labels, len(rows), wanted, seed)
    if labels is not None and (classes := len(np.unique(labels))) > wanted:
        notes.append(f"{wanted:,} {what} images cannot cover {classes:,} classes")
    return rows[chosen], None if labels is None else labels[chosen]


def _is_mapped(config: DataConfig, chosen: dict[str, tuple[Split, Indices]], notes: list[str]) -> bool:
    """Whether the images go to a file: if they are told to, or would take more than half of the memory that is left."""
    if config.store != "auto":
        return config.store == "mapped"
    needed = sum(len(rows) * _most_channels(split, config) for split, rows in chosen.values()) * config.resolution**2
    available = available_memory()
    if available is None or needed <= available / 2:
        return False
    notes.append(
        f"decoded, the images take up to {needed / 1e9:.2f} GB, and {available / 1e9:.2f} GB of memory are left: they "
        "are read from a file (data.store mapped)"
    )
    return True


def _most_channels(split: Split, config: DataConfig) -> int:
    if config.grey is not None:
        return 1 if config.grey else 3
    if isinstance(split.pixels, ArrayPixels):
        return 1
    return _KNOWN[config.name][0] if config.name in _KNOWN else 3


def _decoded(
    split: Split, rows: Indices, config: DataConfig, to_file: bool, what: str, notes: list[str], *, at_least: int
) -> Decoded | DecodedFile:
    decoded = decode_to_file(split, rows, config) if to_file else decode(split, rows, config)
    if decoded.left_out:
        named = ", ".join(decoded.left_out[:_NAMED_AT_MOST])
        rest = len(decoded.left_out) - _NAMED_AT_MOST
        notes.append(
            f"left out {len(decoded.left_out):,} of {len(rows):,} {what} images that cannot be read: {named}"
            + (f" and {rest:,} more" if rest > 0 else "")
        )
    if len(decoded.images) < at_least:
        raise DataError(
            f"there are too few {what} images",
            arrived=f"{len(decoded.images)}" + (f"; {notes[-1]}" if decoded.left_out else ""),
            accepted=f"at least {at_least}",
            remedy="add images",
        )
    return decoded


def _kept(labels: Indices | None, rows: Indices, decoded: Decoded | DecodedFile) -> Tensor | None:
    """The labels of those rows that could be read, int64."""
    if labels is None:
        return None
    return torch.from_numpy(labels[np.searchsorted(rows, decoded.positions)].astype(np.int64))


def _check_known(config: DataConfig, channels: int, classes: int) -> None:
    """Refuse a folder that cannot hold the data set that the configuration, and later a table, names."""
    known_channels, known_classes = _KNOWN[config.name]
    kinds = {1: "grey", 3: "colour"}
    fits = config.grey is not None or channels == known_channels
    if fits and classes == known_classes:
        return
    raise DataError(
        f"{config.root} does not hold {config.name}",
        arrived=f"{kinds[channels]} images of {classes or 'no'} classes",
        accepted=f"{kinds[known_channels]} images of {known_classes} classes for data.name {config.name}",
        remedy="start from a folder-* recipe (data.name folder) for other images, or correct --data.root",
    )
