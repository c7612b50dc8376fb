"""What the tests here count, and, with --record, the file that keeps it."""

import json
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

# Imported once for all the processes that are forked here.
import hssl.training.engine
import hssl.training.evaluate
from hssl.files import write_atomically

RECORD = Path(__file__).resolve().parent.parent / "results" / "faults.json"
torch.set_num_threads(1)
_counted: dict[str, Any] = {}
_start = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="keep what was counted in results/faults.json")


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HSSL_DATA", raising=False)


@pytest.fixture(scope="session")
def counted() -> dict[str, Any]:
    """By test: how many faults of which kind there were, and what came of them."""
    return _counted


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if not session.config.getoption("--record") or exitstatus != 0:
        return
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - _start),
        "versions": {
            "hssl": hssl.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": version("lightning"),
        },
        "system": f"{platform.system()} {platform.machine()}",
        **_counted,
    }
    write_atomically(RECORD, json.dumps(record, indent=2) + "\n")
