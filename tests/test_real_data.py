"""Missing data skips a test by name where a stranger runs it, and fails it in CI."""

from pathlib import Path

import pytest

from real_data import named_by


@pytest.mark.parametrize("ci", [False, True])
def test_missing_data_is_named(ci: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", str(ci).lower())
    outcome = pytest.fail.Exception if ci else pytest.skip.Exception
    monkeypatch.delenv("SOME_DATA", raising=False)
    with pytest.raises(outcome, match="SOME_DATA is not set"):
        named_by("SOME_DATA")
    monkeypatch.setenv("SOME_DATA", str(tmp_path))
    with pytest.raises(outcome, match="SOME_DATA/mnist is missing"):
        named_by("SOME_DATA", "mnist")
    (tmp_path / "mnist").mkdir()
    assert named_by("SOME_DATA", "mnist") == tmp_path / "mnist"
    monkeypatch.setenv("SOME_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(pytest.fail.Exception, match="SOME_DATA names no folder"):
        named_by("SOME_DATA")
