"""Where the real data lies that some tests read: what `HSSL_DATA` and `HSSL_REFERENCE` name."""

import os
from pathlib import Path
from typing import NoReturn

import pytest


def named_by(variable: str, *below: str) -> Path:
    """The folder that a variable names, or one below it.

    Without it the test is skipped, and fails where CI=true. A variable that names no folder is always a failure.
    """
    named = os.environ.get(variable)
    if not named:
        _missing(f"{variable} is not set: it names the folder with the files that this test reads")
    if not Path(named).is_dir():
        pytest.fail(f"{variable} names no folder: {named}")
    folder = Path(named, *below)
    if not folder.is_dir():
        _missing(f"{'/'.join((variable, *below))} is missing: {folder}")
    return folder


def _missing(message: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
