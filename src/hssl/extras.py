"""Packages that only some users need. Each belongs to an extra of the project: `pip install 'hssl[plots]'`."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from hssl.errors import HsslError

EXTRAS = {"plots": "matplotlib", "terminal": "rich", "tensorboard": "tensorboard", "slurm": "submitit"}
"""The package that each extra brings."""


class MissingPackageError(HsslError, ImportError):
    """A package of an extra is not installed."""


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Around imports of the package of an extra.

    Raises:
        MissingPackageError: it is not installed; the extra is named.
    """
    try:
        yield
    except ImportError as error:
        if (error.name or "").partition(".")[0] != EXTRAS[name]:
            raise
        raise MissingPackageError(f"{EXTRAS[name]} is not installed", hint=how_to_install(name)) from None


def is_installed(name: str) -> bool:
    """Whether the package of an extra is there; it is not imported."""
    return find_spec(EXTRAS[name]) is not None


def how_to_install(name: str) -> str:
    """The command that brings an extra."""
    return f"pip install 'hssl[{name}]' (or 'hssl[all]' for everything optional)"
