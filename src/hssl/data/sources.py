"""Which data set a configuration means, and in which layout it lies."""

from collections import Counter
from pathlib import Path

import numpy as np

from hssl.data import folder, hub, idx, tables
from hssl.data.labels import hold_out
from hssl.data.own import DataSource
from hssl.data.settings import DataSettings
from hssl.data.split import ArrayPixels, Source, Split
from hssl.errors import ConfigurationError, DataError
from hssl.parts import load

# name: (channels, classes), to refuse a folder that holds something else than the configuration says.
KNOWN = {"digits": (1, 10), "mnist": (1, 10), "cifar10": (3, 10), "tiny-imagenet": (3, 200)}
_LAYOUTS = "; ".join((idx.ACCEPTED, tables.ACCEPTED, folder.ACCEPTED))

_DIGITS_TEST_IMAGES = 360
# Part of what this data set is: another value is another data set, so it does not follow the seed of a run.
_DIGITS_SPLIT_SEED = (1797,)


def open_source(config: DataSettings) -> Source:
    """The configured data set. With `config.root` the layout is told by what the folder holds.

    Raises:
        DataError: data that is missing, empty, truncated or inconsistent.
        ConfigurationError: an unknown name, or a root for embedded data.
    """
    if ":" in config.name and not config.name.startswith("hub:"):
        source: DataSource = load("data", config.name)(config)
        return source.open()
    if config.name == "digits" and config.root is not None:
        raise ConfigurationError(
            "the digits are embedded and lie in no folder",
            got=f"data.root {config.root} with data.name digits",
            hint="drop --data.root, or start from a folder-* recipe (one's own images) or an mnist-* recipe",
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
                "the name of a hub data set is incomplete", got=config.name, expected="hub:OWNER/NAME"
            )
        return hub.read_hub(repository)
    if config.name == "folder":
        raise ConfigurationError("a folder of images needs its path", hint="give the folder with --data.root")
    known = (*KNOWN, "folder", "hub:OWNER/NAME", "my_module:MySource")
    raise ConfigurationError(f"there is no data set '{config.name}'", expected=", ".join(known))


def _open_root(root: Path) -> Source:
    try:
        if not root.exists():
            raise DataError(f"the folder {root} does not exist", hint="correct --data.root")
        if not root.is_dir():
            raise DataError(f"{root} is a file", expected="a folder", hint=f"--data.root {root.parent}")
        if idx_files := idx.find_idx(root):
            return idx.read_idx(idx_files)
        if hub.is_saved(root):
            return hub.read_saved(root)
        if parquet_files := tables.find_parquet(root):
            return tables.read_parquet(root, parquet_files)
        if folder.has_images(root):
            return folder.read_folder(root)
    except OSError as error:
        raise DataError(f"{root} cannot be read", got=error) from error
    raise DataError(
        f"{root} holds no images in a layout that is known",
        got=_inventory(root),
        expected=_LAYOUTS,
        hint="point --data.root at the folder that holds the files themselves",
    )


def _inventory(root: Path) -> str:
    entries = sorted(root.iterdir())
    if not entries:
        return "an empty folder"
    kinds = Counter("folder" if entry.is_dir() else entry.suffix or "file without ending" for entry in entries)
    return ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common(8)) + f" (such as {entries[0].name})"


def read_digits() -> Source:
    """Scikit-learn's handwritten digits: 1,437 training and 360 test images in a fixed, stratified split.

    Grey, 8 x 8 pixels; values 0 .. 16 become 0 .. 255.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    train, test = hold_out(labels, len(labels), _DIGITS_TEST_IMAGES, _DIGITS_SPLIT_SEED)
    return Source(
        description="scikit-learn's handwritten digits, 8 x 8",
        train=Split("train", ArrayPixels(images[train]), labels[train]),
        held_out=(Split("test", ArrayPixels(images[test]), labels[test]),),
    )


def check_known(config: DataSettings, channels: int, classes: int) -> None:
    """Refuses a folder that cannot hold the data set that the configuration, and later a table, names.

    Raises:
        DataError: another number of channels or classes.
    """
    if config.name not in KNOWN or config.root is None:
        return
    known_channels, known_classes = KNOWN[config.name]
    kinds = {1: "grey", 3: "colour"}
    if (config.grey is not None or channels == known_channels) and classes == known_classes:
        return
    raise DataError(
        f"{config.root} does not hold {config.name}",
        got=f"{kinds[channels]} images of {classes or 'no'} classes",
        expected=f"{kinds[known_channels]} images of {known_classes} classes for data.name {config.name}",
        hint="start from a folder-* recipe (data.name folder) for other images, or correct --data.root",
    )
