"""`load_data`: a configuration in, two stores of images out, whatever the layout of the files."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hssl.data.cache import Mapped, decode_to_file
from hssl.data.decoding import Decoded, decode
from hssl.data.labels import balanced_choice, encode_labels, hold_out
from hssl.data.settings import DataSettings
from hssl.data.sources import KNOWN, check_known, open_source
from hssl.data.split import ArrayPixels, Indices, Source, Split, quoted
from hssl.data.store import ImageStore, MappedStore, Store, channel_counts, statistics_of
from hssl.errors import DataError
from hssl.memory import available_memory

# A held-out split belongs to the data, not to the run: every seed is measured on the same images.
_HOLD_OUT_SEED = (20221108,)
_VALIDATION_SEED = (20221109,)
_TRAIN, _TEST = 0, 1
_NAMED_AT_MOST = 10


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


def load_data(config: DataSettings, seed: int = 0) -> DataSets:
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
    source, train_rows, test_rows = _divide(open_source(config), config.test_fraction, config.validation_images)
    notes = list(source.notes)
    train, test = source.train, source.held_out[0]
    # All labels, not only the chosen ones: a class keeps its number whatever is chosen.
    train_labels, test_labels, names = encode_labels(train.labelled(train_rows), test.labelled(test_rows), notes)
    train_rows, train_labels = _choose(train_rows, train_labels, config.train_images, (seed, _TRAIN), "training", notes)
    test_rows, test_labels = _choose(test_rows, test_labels, config.test_images, (seed, _TEST), "test", notes)

    to_file = _is_mapped(config, {"training": (train, train_rows), "test": (test, test_rows)}, notes)
    train_part = _decoded(train, train_rows, config, to_file, "training", notes, at_least=2)
    test_part = _decoded(test, test_rows, config, to_file, "test", notes, at_least=1)
    # Both with three channels if one of them has three.
    channels = max(train_part.images.shape[1], test_part.images.shape[1])
    check_known(config, channels, len(names))
    mean, std = torch.zeros(channels), torch.ones(channels)
    if config.normalize == "standardize":
        counts = train_part.counts if isinstance(train_part, Mapped) else channel_counts(train_part.images)
        mean, std = (statistic.expand(channels).contiguous() for statistic in statistics_of(counts))
    return DataSets(
        train=_store(train_part, train_labels, mean, std, names),
        test=_store(test_part, test_labels, mean, std, names),
        channels=channels,
        num_classes=len(names) or None,
        source=f"{source.description}: {len(train_part.images):,} training and {len(test_part.images):,} test images",
        notes=tuple(notes),
    )


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
                got=f"data.validation_images {validation}, {len(kept):,} training images",
                expected="at least 2 images left to train on, and every class among them",
                hint="lower --data.validation_images",
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
        if usable[1:]:
            notes.append(
                f"measured on the split '{usable[0].name}', not on {quoted(split.name for split in usable[1:])}"
            )
        rows = np.arange(len(train)), np.arange(len(usable[0]))
        return replace(source, held_out=usable[:1], notes=tuple(notes)), *rows

    wanted = max(1, round(len(train) * fraction))
    kept, out = hold_out(train.labels, len(train), wanted, _HOLD_OUT_SEED)
    if len(out) == 0 or len(kept) < 2:
        raise DataError(
            f"there are too few images to hold some out for the test: {source.description}",
            got=f"{len(train)} images"
            + ("" if train.labels is None else f" of {len(np.unique(train.labels))} classes"),
            expected="at least 2 training images and 1 for the test; a class of one image stays in training",
            hint="add images, or a test split of their own",
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


def _is_mapped(config: DataSettings, chosen: dict[str, tuple[Split, Indices]], notes: list[str]) -> bool:
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


def _most_channels(split: Split, config: DataSettings) -> int:
    if config.grey is not None:
        return 1 if config.grey else 3
    if isinstance(split.pixels, ArrayPixels):
        return 1 if split.pixels.array.ndim == 3 else 3
    return KNOWN[config.name][0] if config.name in KNOWN else 3


def _decoded(
    split: Split, rows: Indices, config: DataSettings, to_file: bool, what: str, notes: list[str], *, at_least: int
) -> Decoded | Mapped:
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
            got=f"{len(decoded.images)}" + (f"; {notes[-1]}" if decoded.left_out else ""),
            expected=f"at least {at_least}",
            hint="add images",
        )
    return decoded


def _store(part: Decoded | Mapped, labels: Indices | None, mean: Tensor, std: Tensor, names: tuple[str, ...]) -> Store:
    """The images that could be read with their labels, with as many channels as the statistics."""
    kept = None if labels is None else torch.from_numpy(labels[part.kept].astype(np.int64))
    if isinstance(part, Mapped):
        return MappedStore(part.images, kept, mean, std, names, len(mean))
    return ImageStore(part.images.expand(-1, len(mean), -1, -1).contiguous(), kept, mean, std, names)
