"""A look at every data set that a grid will read, before its first run starts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hssl.config import Config
from hssl.errors import DataError, HsslError
from hssl.places import DATA_SETS, VARIABLE, data_folder

_SHOWN_AT_MOST = 8


def check_data(configs: Iterable[Config]) -> None:
    """Open each data set once and decode two images of it. What lies in no folder is fetched from the hub.

    Raises:
        DataError: one message for all data sets that are missing, damaged, or not what their name says.
        ConfigurationError: `HSSL_DATA` names no folder.
    """
    places: dict[tuple[str, str | None], Config] = {}
    for config in configs:
        if config.data.name != "digits":  # they are embedded
            places.setdefault((config.data.name, config.data.root), config)
    if not places:
        return
    from hssl.data import load_data

    problems: dict[tuple[str, str | None], HsslError] = {}
    for place, config in places.items():
        few = {"train_images": 2, "test_images": 2, "store": "memory"}
        try:
            load_data(config.data.model_copy(update=few))
        except HsslError as error:
            problems[place] = error
    if problems:
        raise _refusal(problems, len(places))


def described(configs: Iterable[Config]) -> str:
    """Where each data set lies, in one line; empty where all is embedded."""
    places = dict.fromkeys((config.data.name, config.data.root) for config in configs if config.data.name != "digits")
    return ", ".join(f"{name} from the hub" if root is None else f"{name} in {root}" for name, root in places)


def _refusal(problems: dict[tuple[str, str | None], HsslError], count: int) -> DataError:
    lines = "".join(f"\n    {name}: {_told(error)}" for (name, _), error in problems.items())
    names = [name for name, _ in problems]
    subject = "the data set" if count == 1 else f"{len(names)} of {count} data sets"
    return DataError(
        f"no run was started: {subject} cannot be used{lines}",
        got="; ".join(_seen(problems)) or None,
        expected=f"--data.root DIR, or {VARIABLE}, with {' and '.join(f'DIR/{name}' for name in names)}"
        + ("; or DIR with its files" if count == 1 else ""),
        hint="put what is missing there, correct the folder, or leave data sets out with --datasets",
    )


def _told(error: HsslError) -> str:
    """The problem and what it got, in one line."""
    got = next((line for line in str(error).splitlines() if line.startswith("  got:")), "")
    return error.problem + (f" ({got.removeprefix('  got:').strip()})" if got else "")


def _seen(problems: dict[tuple[str, str | None], HsslError]) -> list[str]:
    """What lies where the data sets were looked for."""
    folders = [Path(root) if Path(root).name != name else Path(root).parent for name, root in problems if root]
    if any(root is None for _, root in problems) and (named := data_folder()) is not None:
        folders.append(named)
    return [f"{folder} has {_inside(folder)}" for folder in dict.fromkeys(folders)]


def _inside(folder: Path) -> str:
    try:
        names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir())
    except OSError as error:
        return f"nothing that can be read: {error.strerror}"
    names.sort(key=lambda name: name.rstrip("/") not in DATA_SETS)
    more = len(names) - _SHOWN_AT_MOST
    return (", ".join(names[:_SHOWN_AT_MOST]) or "nothing in it") + (f" and {more} more" if more > 0 else "")
