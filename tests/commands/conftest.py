"""No test of a command finds data by the environment of whoever runs it."""

import pytest


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HSSL_DATA", raising=False)
