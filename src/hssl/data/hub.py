"""Data sets of the Hugging Face hub, and folders written by `datasets.save_to_disk`."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from hssl.data.split import Source, first_line, meaning
from hssl.data.tables import read_tables, saved_table
from hssl.errors import DataError

REPOSITORIES = {"mnist": "ylecun/mnist", "cifar10": "uoft-cs/cifar10", "tiny-imagenet": "zh-plus/tiny-imagenet"}

_PATIENCE_SECONDS = 5.0


def read_hub(repository: str) -> Source:
    """A data set of the hub, from the local cache when the hub cannot be reached.

    Raises:
        DataError: neither the hub nor the cache has it, or it is not a data set of images.
    """
    import datasets

    unreachable = _why_unreachable(repository)
    try:
        # One short question decides: `load_dataset` itself would try, wait and warn for minutes without a network.
        with _offline() if unreachable else nullcontext():
            loaded = datasets.load_dataset(repository)
    # What goes wrong between here and a hub has no common base class.
    except Exception as error:
        raise DataError(
            f"the data set '{repository}' cannot be fetched from the hub and is not in the local cache",
            got=unreachable or first_line(error),
            hint="give a folder that holds the data with --data.root, or try again with a network connection",
        ) from error
    return _read_splits(loaded, f"hub data set {repository}")


def is_saved(root: Path) -> bool:
    """Whether `root` was written by `datasets.save_to_disk`."""
    return (root / "dataset_dict.json").is_file() or (root / "state.json").is_file()


def read_saved(root: Path) -> Source:
    """A folder written by `datasets.save_to_disk`.

    Raises:
        DataError: it is damaged, or not a data set of images.
    """
    import datasets

    try:
        loaded = datasets.load_from_disk(str(root))
    except Exception as error:
        raise DataError(
            f"the saved data set in {root} cannot be read", got=first_line(error), hint="save or copy it again"
        ) from error
    return _read_splits(loaded, f"saved data set in {root}")


def _read_splits(loaded: Any, description: str) -> Source:
    import datasets

    if isinstance(loaded, datasets.DatasetDict):
        splits = dict(loaded)
    else:
        # What its name says, or all there is.
        splits = {str(loaded.split) if meaning(str(loaded.split)) else "train": loaded}
    return read_tables(description, splits, lambda name: [saved_table(splits[name], name, description)])


def _why_unreachable(repository: str) -> str | None:
    """None when the hub answers for this repository, else the reason, within seconds."""
    from huggingface_hub import HfApi

    answers: list[str | None] = []

    def ask() -> None:
        try:
            HfApi().dataset_info(repository, timeout=_PATIENCE_SECONDS)
            answers.append(None)
        except Exception as error:
            answers.append(first_line(error))

    # In a thread of its own, because the time limit does not cover the look-up of the host's name.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(2 * _PATIENCE_SECONDS)
    return answers[0] if answers else f"no answer within {2 * _PATIENCE_SECONDS:.0f} seconds"


@contextmanager
def _offline() -> Iterator[None]:
    import datasets
    import huggingface_hub.constants as constants

    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    before = (datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE, [logger.level for logger in loggers])
    datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE, levels = before
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
