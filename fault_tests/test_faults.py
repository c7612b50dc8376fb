"""Runs that are ended, killed, damaged or doubled, at many moments: they end the same, or are refused. Minutes long.

Every random choice has a seed; when a process is hit is up to the machine all the same.
"""

import platform
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import doom
from hssl.errors import RunFolderError
from hssl.training.checkpoint import load_checkpoint
from hssl.training.module import SSLModule
from runs import MODES, Forked, differences, evaluate, evaluation, finished, started, train

MOMENTS, STARTING, FLIPS = 10, 4, 150
AFTERWARDS = {"evaluation__readout": "afterwards", "evaluation__readout_epochs": 1}
# What is trained in each row of kills: every mode, and the frozen network that is finished by one write.
ROWS: dict[str, tuple[str, dict[str, Any]]] = {mode: (mode, {}) for mode in MODES}
ROWS["frozen, readout afterwards"] = ("frozen", AFTERWARDS)
KILLED = tuple(ROWS)
# As long at work as in starting up.
ROWS["long"] = ("h-ssl", {"trainer__epochs": 120})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run of a row to which nothing happened, measured."""
    base, made = tmp_path_factory.mktemp("whole"), {}

    def make(row: str) -> Path:
        if row not in made:
            folder = base / row.replace(", ", "-").replace(" ", "-")
            mode, changes = ROWS[row]
            finished(train(folder, mode, **changes), base / "log")
            finished(evaluate(folder), base / "log")
            made[row] = folder
        return made[row]

    return make


def test_a_difference_would_be_found(whole: Callable[[str], Path], tmp_path: Path) -> None:
    """The control of all the tests below."""
    folder, log = tmp_path / "run", tmp_path / "log"
    finished(train(folder, seed=1), log)
    finished(evaluate(folder), log)
    assert {"state_dict", "optimizer_states", "metrics.jsonl", "evaluation.json"} <= set(
        differences(folder, whole("h-ssl"))
    )
    (folder / "checkpoints" / ".last.ckpt.x.part").touch()
    assert ".last.ckpt.x.part" in differences(folder, whole("h-ssl"))


# -- signals -----------------------------------------------------------------------------------------------------------


@dataclass
class Hit:
    """A process that was told to end: when, counted from its first line in the later phase, and what came of it."""

    phase: str
    after: float
    code: int
    said: str


def _hears(process: "subprocess.Popen[str]") -> bool:
    """Whether the process has a handler for SIGTERM; the system ends it before, when nothing has begun."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt:")).split()[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def _first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    return process.stderr.readline()


def _hit(words: list[str], phase: str, after: float) -> Hit:
    start, line = time.monotonic(), ""
    process = started(words)
    if phase == "at work":
        line, start = _first_line(process), time.monotonic()
    while not _hears(process) and process.poll() is None:
        time.sleep(0.001)
    time.sleep(max(0.0, start + after - time.monotonic()))
    after = time.monotonic() - start
    process.terminate()
    _, said = process.communicate(timeout=300)
    return Hit(phase, round(after, 2), process.returncode, line + said)


def _lives(words: list[str]) -> dict[str, float]:
    """How long a command starts up, until its first line, and how long it works."""
    start = time.monotonic()
    process = started(words)
    _first_line(process)
    first = time.monotonic()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return {"starting": round(first - start, 2), "at work": round(time.monotonic() - first, 2)}


def _hits(
    words: Callable[[Path], list[str]], fresh: Callable[[int], Path], lives: dict[str, float]
) -> list[tuple[Path, Hit]]:
    """Moments spread over both phases of a command; one that comes after its end is tried again, earlier."""
    chance = random.Random(5)
    found: list[tuple[Path, Hit]] = []
    for phase, count in (("starting", STARTING), ("at work", MOMENTS - STARTING)):
        for index in range(count):
            moment = (index + chance.random()) / count
            for _ in range(8):
                folder = fresh(len(found))
                hit = _hit(words(folder), phase, moment * lives[phase])
                # It had done its work and was on its way out: nothing was left to end.
                if hit.code not in (0, -signal.SIGTERM):
                    break
                moment *= 0.8
            found.append((folder, hit))
    return found


def _told(found: list[tuple[Path, Hit]], lives: dict[str, float]) -> dict[str, Any]:
    moments = {phase: [hit.after for _, hit in found if hit.phase == phase] for phase in lives}
    return {
        "moments": len(found),
        "seconds": moments,
        "of": lives,
        "exit code 143": sum(hit.code == 143 for _, hit in found),
        "bit-equal endings": len(found),
    }


def test_sigterm_in_train(whole: Callable[[str], Path], tmp_path: Path, counted: dict[str, Any]) -> None:
    def fresh(index: int) -> Path:
        shutil.rmtree(tmp_path / str(index), ignore_errors=True)
        return tmp_path / str(index)

    def words(folder: Path) -> list[str]:
        return train(folder, **ROWS["long"][1])

    lives = _lives(words(tmp_path / "first"))
    found = _hits(words, fresh, lives)
    epochs = []
    for folder, hit in found:
        last = folder / "checkpoints" / "last.ckpt"
        epochs.append(int(load_checkpoint(last)["epoch"]) + 1 if last.exists() else 0)
        assert hit.code == 143, hit
        assert "hssl: ended by SIGTERM; the same command continues after the last finished epoch" in hit.said, hit
        assert "Traceback" not in hit.said, hit
        finished(words(folder), tmp_path / "log")
        finished(evaluate(folder), tmp_path / "log")
        assert differences(folder, whole("long")) == [], hit
    # Most of them came into the training itself.
    assert len({number for number in epochs if number > 0}) >= 3, epochs
    counted["sigterm in train"] = {**_told(found, lives), "epochs that were done": epochs}


def test_sigterm_in_evaluate(whole: Callable[[str], Path], tmp_path: Path, counted: dict[str, Any]) -> None:
    def fresh(index: int) -> Path:
        shutil.rmtree(tmp_path / str(index), ignore_errors=True)
        shutil.copytree(whole("h-ssl"), tmp_path / str(index))
        (tmp_path / str(index) / "evaluation.json").unlink()
        return tmp_path / str(index)

    lives = _lives(evaluate(fresh(MOMENTS)))
    found = _hits(evaluate, fresh, lives)
    for folder, hit in found:
        assert hit.code == 143, hit
        assert "hssl: ended by SIGTERM; the same command measures it again" in hit.said, hit
        assert "Traceback" not in hit.said, hit
        finished(evaluate(folder), tmp_path / "log")
        assert evaluation(folder) is not None
        assert differences(folder, whole("h-ssl")) == [], hit
    counted["sigterm in evaluate"] = {
        **_told(found, lives), "last thing told": [_stage(hit.said) for _, hit in found],
    }  # fmt: skip


def _stage(said: str) -> str:
    """What an evaluation was doing last."""
    lines = [line for line in said.splitlines() if not line.startswith(("hssl:", "  hssl"))]
    return lines[-1] if lines else "nothing yet"


# -- damage ------------------------------------------------------------------------------------------------------------


def test_flipped_bits(whole: Callable[[str], Path], tmp_path: Path, counted: dict[str, Any]) -> None:
    source = whole("h-ssl") / "checkpoints" / "last.ckpt"
    content, chance, file = source.read_bytes(), random.Random(7), tmp_path / "last.ckpt"
    taken, taken_by_torch = 0, 0
    for _ in range(FLIPS):
        flipped = bytearray(content)
        flipped[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        file.write_bytes(flipped)
        try:
            load_checkpoint(file)
            taken += 1
        except RunFolderError:
            pass
        try:
            torch.load(file, weights_only=True)
            taken_by_torch += 1
        except Exception:
            pass
    file.write_bytes(content)
    load_checkpoint(file)
    assert taken == 0
    assert taken_by_torch > 0  # the control: there was something to notice
    counted["flipped bits"] = {
        "flips": FLIPS, "bytes": len(content), "taken": taken, "taken by torch.load alone": taken_by_torch,
    }  # fmt: skip


# -- two in one folder -------------------------------------------------------------------------------------------------


def _slowly() -> None:
    step = SSLModule.training_step

    def slow(self: Any, *arguments: Any) -> Any:
        time.sleep(0.5)
        return step(self, *arguments)

    SSLModule.training_step = slow  # type: ignore[method-assign]


def test_two_in_one_folder(whole: Callable[[str], Path], tmp_path: Path, counted: dict[str, Any]) -> None:
    folder = tmp_path / "run"
    first = Forked(train(folder), tmp_path / "first", _slowly)
    limit = time.monotonic() + 60
    while not (folder / "metrics.jsonl").exists():
        assert time.monotonic() < limit, first.said
        time.sleep(0.02)
    second = Forked(train(folder), tmp_path / "second")
    assert second.code() == 2, second.said
    assert f"process {first.pid} on {platform.node()}" in second.said
    assert first.code() == 0, first.said
    # The control: once it is free the folder is taken again.
    third = Forked(train(folder), tmp_path / "third")
    assert third.code() == 0, third.said
    finished(evaluate(folder), tmp_path / "log")
    assert differences(folder, whole("h-ssl")) == []
    counted["two in one folder"] = {"second refused, naming process and host": 1, "first bit-equal": 1}


# -- kills -------------------------------------------------------------------------------------------------------------


def _plan(row: str, size: int, chance: random.Random) -> list[tuple[str, Callable[[], None]]]:
    """Five kills, one after the other in the same folder."""

    def in_a_write(before: int = 0) -> tuple[str, Callable[[], None]]:
        return "inside a checkpoint's write", doom.at_byte(chance.randrange(size), before)

    if ROWS[row][1]:  # one write, and the run is done
        return [*(in_a_write() for _ in range(4)), ("before a checkpoint's renaming", doom.around_renaming(True))]
    return [
        in_a_write(),
        in_a_write(1),
        ("before a step", doom.at_step(4 + chance.randrange(4))),
        chance.choice(
            [
                ("before a checkpoint's renaming", doom.around_renaming(True)),
                ("after a checkpoint's renaming", doom.around_renaming(False)),
            ]
        ),
        in_a_write(),
    ]


@pytest.mark.parametrize("row", KILLED)
def test_kills(row: str, whole: Callable[[str], Path], tmp_path: Path, counted: dict[str, Any]) -> None:
    mode, changes = ROWS[row]
    folder, chance = tmp_path / "run", random.Random(f"kills {row}")
    last = folder / "checkpoints" / "last.ckpt"
    size = (whole(row) / "checkpoints" / "last.ckpt").stat().st_size
    for place, change in _plan(row, size, chance):
        process = Forked(train(folder, mode, **changes), tmp_path / "log", change)
        assert process.code() == -signal.SIGKILL, (place, process.said)
        if place.startswith(("inside", "before a checkpoint")):
            assert len(list(folder.rglob(".last.ckpt.*.part"))) == 1, place
        if last.exists():
            load_checkpoint(last)
        kills = counted.setdefault("kills", {})
        kills[place] = kills.get(place, 0) + 1
    finished(train(folder, mode, **changes), tmp_path / "log")
    finished(evaluate(folder), tmp_path / "log")
    assert differences(folder, whole(row)) == []
    counted["kills"].setdefault("in the modes", []).append(row)
    counted["kills"]["bit-equal endings"] = len(counted["kills"]["in the modes"])
