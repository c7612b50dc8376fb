"""Runs that are ended, killed, damaged or doubled, at many moments: they end the same, or are refused. Minutes long.

Every random choice has a seed, and moments are told by what happens, not by the clock.
"""

import os
import platform
import random
import shutil
import signal
import subprocess
import sys
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
from runs import MODES, Forked, differences, evaluate, evaluation, finished, train
from waiting import until

MOMENTS, STARTING, FLIPS = 10, 4, 150
AFTERWARDS = {"evaluation__readout": "afterwards", "evaluation__readout_epochs": 1}
# What is trained in each row of kills: every mode, and the frozen network that is finished by one write.
ROWS: dict[str, tuple[str, dict[str, Any]]] = {mode: (mode, {}) for mode in MODES}
ROWS["frozen, readout afterwards"] = ("frozen", AFTERWARDS)
KILLED = tuple(ROWS)
# More work than starting up.
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
    """A process that asked itself to end: after how many calls of functions, before its first line and in all."""

    before: int
    calls: int
    code: int
    said: str


def _hit(words: list[str], last: int, scratch: Path) -> Hit:
    """At the `last`-th call; 0 for never."""
    script, file = Path(__file__).with_name("ending.py"), scratch / "calls"
    done = subprocess.run(
        [sys.executable, str(script), str(last), str(file), *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    before, calls = map(int, file.read_text().split())
    return Hit(before, calls, done.returncode, done.stderr)


def _hits(
    words: Callable[[Path], list[str]], fresh: Callable[[int], Path], scratch: Path
) -> tuple[Hit, list[tuple[Path, Hit]]]:
    """The whole command, and ends that are spread over its starting up, until its first line, and over its work."""
    chance = random.Random(5)
    unhurt = _hit(words(fresh(MOMENTS)), 0, scratch)
    assert unhurt.code == 0, unhurt.said
    found: list[tuple[Path, Hit]] = []
    at_work = 0.95 * (unhurt.calls - unhurt.before)
    for first, length, count in ((0, unhurt.before, STARTING), (unhurt.before, at_work, MOMENTS - STARTING)):
        for index in range(count):
            folder, last = fresh(len(found)), round(first + length * (index + chance.random()) / count)
            found.append((folder, _hit(words(folder), last, scratch)))
    return unhurt, found


def _told(unhurt: Hit, found: list[tuple[Path, Hit]]) -> dict[str, Any]:
    return {
        "moments": len(found),
        "calls of functions": [hit.calls for _, hit in found],
        "of": {"starting": unhurt.before, "in all": unhurt.calls},
        "exit code 143": sum(hit.code == 143 for _, hit in found),
        "bit-equal endings": len(found),
    }


def test_sigterm_in_train(whole: Callable[[str], Path], tmp_path: Path, counted: dict[str, Any]) -> None:
    def fresh(index: int) -> Path:
        shutil.rmtree(tmp_path / str(index), ignore_errors=True)
        return tmp_path / str(index)

    def words(folder: Path) -> list[str]:
        return train(folder, **ROWS["long"][1])

    unhurt, found = _hits(words, fresh, tmp_path)
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
    counted["sigterm in train"] = {**_told(unhurt, found), "epochs that were done": epochs}


def test_sigterm_in_evaluate(whole: Callable[[str], Path], tmp_path: Path, counted: dict[str, Any]) -> None:
    def fresh(index: int) -> Path:
        shutil.rmtree(tmp_path / str(index), ignore_errors=True)
        shutil.copytree(whole("h-ssl"), tmp_path / str(index))
        (tmp_path / str(index) / "evaluation.json").unlink()
        return tmp_path / str(index)

    unhurt, found = _hits(evaluate, fresh, tmp_path)
    for folder, hit in found:
        assert hit.code == 143, hit
        assert "hssl: ended by SIGTERM; the same command measures it again" in hit.said, hit
        assert "Traceback" not in hit.said, hit
        finished(evaluate(folder), tmp_path / "log")
        assert evaluation(folder) is not None
        assert differences(folder, whole("h-ssl")) == [], hit
    counted["sigterm in evaluate"] = {
        **_told(unhurt, found), "last thing told": [_stage(hit.said) for _, hit in found],
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


def _held(go_on: Path) -> Callable[[], None]:
    """Its first epoch done, it waits for a file."""

    def change() -> None:
        step = SSLModule.training_step

        def held(self: Any, *arguments: Any) -> Any:
            if self.current_epoch > 0:
                until(go_on.exists)
            return step(self, *arguments)

        SSLModule.training_step = held  # type: ignore[method-assign]

    return change


def test_two_in_one_folder(whole: Callable[[str], Path], tmp_path: Path, counted: dict[str, Any]) -> None:
    folder = tmp_path / "run"
    first = Forked(train(folder), tmp_path / "first", _held(tmp_path / "go on"))
    until((folder / "metrics.jsonl").exists)
    second = Forked(train(folder), tmp_path / "second")
    assert second.code() == 2, second.said
    assert f"process {first.pid} on {platform.node()}" in second.said
    (tmp_path / "go on").touch()
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
