"""A place for measurements is looked at before they are made."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from hssl.cli import main
from stand_in_engine import refused


@pytest.mark.parametrize("place", ["file/x.json", "folder"])
def test_a_place_that_cannot_be_written_is_found_before_anything_is_measured(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    measuring = ModuleType("hssl.benchmarks.run")
    measured: list[Path] = []
    measuring.run = lambda kind, rounds, device, file: measured.append(file)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hssl.benchmarks.run", measuring)
    assert str(tmp_path / place) in refused(capsys, "bench", "step", "--json", str(tmp_path / place))
    assert measured == []
    good = tmp_path / "new" / "x.json"
    assert main(["bench", "step", "--json", str(good)]) == 0
    assert measured == [good]
    assert list(good.parent.iterdir()) == []
