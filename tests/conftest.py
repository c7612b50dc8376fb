"""Shared fixtures: where the real data lies; one thread a process, so that parallel tests do not fight over cores."""

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parent.parent


def _shared(name: str, variable: str) -> Path:
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / name))
    if not folder.is_dir():
        pytest.fail(f"{folder} is missing: set {variable} to the folder with the {name} files these tests need")
    return folder


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with mnist/, cifar10/ and tiny-imagenet/."""
    return _shared("data", "HSSL_DATA")


@pytest.fixture(scope="session")
def reference_root() -> Path:
    """The folder with the numbers of the original implementation."""
    return _shared("reference", "HSSL_REFERENCE")
