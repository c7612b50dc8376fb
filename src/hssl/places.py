"""Where the paper's data sets lie: what a folder given for all of them, or `HSSL_DATA`, stands for. Reads no data."""

import os
from pathlib import Path

from hssl.config import Config
from hssl.errors import ConfigurationError

VARIABLE = "HSSL_DATA"
DATA_SETS = ("mnist", "cifar10", "tiny-imagenet")
"""Names of the sub-folders that such a folder has, or some of them."""


def data_folder() -> Path | None:
    """The folder that `HSSL_DATA` names; None where it is not set.

    Raises:
        ConfigurationError: it names no folder.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    try:
        folder = Path(named).expanduser().absolute()
    except RuntimeError:
        folder = Path(named)
    if not folder.is_dir():
        raise ConfigurationError(
            f"{VARIABLE} names no folder",
            got=named,
            expected=f"a folder with sub-folders of {', '.join(DATA_SETS)}",
            hint=f"correct it or unset it; --data.root PATH goes before {VARIABLE}",
        )
    return folder


def from_environment(config: Config) -> Config:
    """The same run with its data in the sub-folder of `HSSL_DATA` that is named as the data set.

    A configuration that says itself where its data lies stays as it is; so does one whose data set has no sub-folder
    there.

    Raises:
        ConfigurationError: `HSSL_DATA` names no folder.
    """
    if config.data.root is not None or config.data.name not in DATA_SETS or (folder := data_folder()) is None:
        return config
    place = folder / config.data.name
    return _at(config, place) if place.is_dir() else config


def below(config: Config, folder: str, *, alone: bool) -> Config:
    """The same run with its data in the sub-folder of `folder` that is named as the data set, there or not.

    Args:
        config: the run; of embedded data it stays as it is.
        folder: as `--data.root` of a command for several data sets.
        alone: whether no other data set is asked for: then, without such a sub-folder, `folder` holds the files itself.

    Raises:
        ConfigurationError: '~' of a user that there is not.
    """
    if config.data.name not in DATA_SETS:
        return config
    whole = _at(config, Path(folder)).with_absolute_root()
    assert whole.data.root is not None
    place = Path(whole.data.root) / config.data.name
    return whole if alone and not place.is_dir() else _at(config, place)


def _at(config: Config, place: Path) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"root": str(place)})})
