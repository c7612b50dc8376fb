"""docs/architecture.md: its rooms are those of the package, and its examples train together."""

import re
import shlex
from pathlib import Path

import pytest

from hssl.cli import main

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"


def test_the_rooms_are_those_there_are() -> None:
    rows = re.findall(r"^\| ([^|]*) \| [^|]* \|$", PAGE.read_text(), re.MULTILINE)
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    rooms = {path.parent.name for path in (ROOT / "src" / "hssl").glob("*/__init__.py")} | {"tools"}
    assert rooms <= named
    files = {name for name in named if name.endswith(".py")}
    assert all((ROOT / "src" / "hssl" / name).exists() for name in files)
    assert named - rooms - files == set()


def test_the_examples_train_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PAGE.read_text()
    modules = re.findall(r"```python\n# (\w+)\.py\n(.*?)```", text, re.DOTALL)
    assert len(modules) == 5
    for name, code in modules:
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (commands,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for command in commands.replace("\\\n", " ").strip().splitlines():
        program, *words = shlex.split(command)
        assert program == "hssl"
        fast = ["--trainer.epochs", "1", "--data.train_images", "64", "--data.test_images", "24"]
        assert main([*words, *fast, *(["--optimizer.warmup_epochs", "0"])]) == 0, command
    shown = capsys.readouterr().out
    assert "run folder: runs/mine" in shown
    assert "my_method" in shown
