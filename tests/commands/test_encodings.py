"""Terminals, pipes and file names in every encoding: a letter without a code is escaped, and nothing else happens."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hssl.cli import main
from hssl.runs.record import collect, read, write
from small_runs import tiny, write_images
from stand_in_engine import Engine

ENCODINGS = ("ascii", "latin-1", "cp1252", "utf-8")
LATIN = os.fsdecode(b"caf\xe9")


class Streams:
    """stdout and stderr as pipes of an encoding that refuse what it has no code for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
        self._encoding = encoding
        self._streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2)]
        monkeypatch.setattr(sys, "stdout", self._streams[0])
        monkeypatch.setattr(sys, "stderr", self._streams[1])

    def read(self) -> tuple[str, str]:
        for stream in self._streams:
            stream.flush()
        out, err = (stream.buffer.getvalue().decode(self._encoding) for stream in self._streams)  # type: ignore[attr-defined]
        return out, err


COMMANDS = ("recipes mnist", "recipes --fields", "reproduce table1 --list", "bench --help", "evaluate RUN",
            "equivariance RUN", "nonsense±é")  # fmt: skip


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("words", COMMANDS)
def test_what_cannot_be_shown_is_escaped(
    words: str, encoding: str, engine: Engine, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = Streams(monkeypatch, encoding)
    code = main([str(run_folder) if word == "RUN" else word for word in words.split()])
    shown = "".join(streams.read())
    assert code == (2 if words.startswith("nonsense") else 0)
    # What each of them says with letters that ASCII has no code for.
    letter = {"recipes mnist": "±", "equivariance RUN": "Γ", "nonsense±é": "é"}.get(words)
    if letter is not None:
        escaped = letter.encode(encoding, "backslashreplace").decode(encoding)
        assert escaped in shown
        assert (escaped == letter) == (encoding == "utf-8" or (letter != "Γ" and encoding != "ascii"))


@pytest.mark.parametrize("settings", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0",
                                      "PYTHONCOERCECLOCALE": "0"}])  # fmt: skip
def test_in_a_process_of_its_own(settings: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hssl.cli", "recipes", "mnist"], capture_output=True, env={**os.environ, **settings}
    )
    assert done.returncode == 0, done.stderr
    assert b"\\xb1" in done.stdout
    assert done.stderr == b""


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_that_are_no_unicode_from_training_to_record(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that cannot be read, a class, the data's folder; the run's own folder is refused."""
    root, out = tmp_path / f"data-{LATIN}", tmp_path / "run"
    write_images(root, 40, classes=2)
    (root / "class1").rename(root / f"class-{LATIN}")
    (root / "class0" / f"{LATIN}.png").write_bytes(b"no image")
    file = tmp_path / "config.yaml"
    config = tiny(data__name="folder", data__root=str(root), data__test_images=8, trainer__epochs=1)
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    streams = Streams(monkeypatch, encoding)
    assert main(["train", str(file), "--out", str(tmp_path / LATIN)]) == 2
    assert "caf\\udce9" in streams.read()[1]
    assert not (tmp_path / LATIN).exists()
    for command in (["train", str(file), "--out", str(out)], ["evaluate", str(out)], ["equivariance", str(out)]):
        assert main(command) == 0
    shown, _ = streams.read()
    assert "caf\\udce9.png" in shown
    # What is written is UTF-8 with escapes, and reads as what it was.
    assert f"class-{LATIN}" in json.loads((out / "data.json").read_text(encoding="utf-8"))["classes"]
    notes = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))["data"]["notes"]
    assert f"{LATIN}.png" in " ".join(notes)
    record = collect(out)
    write(record, tmp_path / "record.json")
    assert read(tmp_path / "record.json") == record
    # The same command finds the run done, and another one says what is different.
    assert main(["train", str(file), "--out", str(out)]) == 0
    assert main(["train", str(file), "--out", str(out), "--seed", "3"]) == 2
    assert "holds another run" in streams.read()[1]
