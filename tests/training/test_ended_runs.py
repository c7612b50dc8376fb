"""SIGTERM, SIGHUP and what else ends a run from outside: the code, the last words, and the same end after all."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback

from hssl.cli import main
from hssl.training import engine, evaluate, measures
from hssl.training.engine import train
from small_runs import checkpoint, metrics, same, tiny
from waiting import HANG_SECONDS, until


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny().model_dump(mode="json")))
    return file


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """The signals as a terminal leaves them: behind nohup, or in the background of a shell, some are ignored."""
    usual = {signal.SIGTERM: signal.SIG_DFL, signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class At(Callback):
    """A signal in the middle of the second epoch."""

    def __init__(self, number: int) -> None:
        self.number = number

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == 6:
            os.kill(os.getpid(), self.number)


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """The next training gets this signal."""
    build = engine._trainer

    def arm(number: int) -> None:
        def doomed(*arguments: Any, **named: Any) -> L.Trainer:
            monkeypatch.setattr(engine, "_trainer", build)
            trainer = build(*arguments, **named)
            trainer.callbacks.insert(0, At(number))  # type: ignore[attr-defined]
            return trainer

        monkeypatch.setattr(engine, "_trainer", doomed)

    return arm


@pytest.mark.parametrize(
    ("number", "code", "how"),
    [
        (signal.SIGTERM, 143, "ended by SIGTERM"),
        (signal.SIGHUP, 129, "ended by SIGHUP"),
        (signal.SIGINT, 130, "interrupted"),
    ],
)
def test_a_training_that_is_ended_goes_on_to_the_same_end(
    number: int,
    code: int,
    how: str,
    config: Path,
    tmp_path: Path,
    signalled: Callable[[int], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    words = ["train", str(config), "--out", str(out)]
    signalled(number)
    assert main(words) == code
    assert (
        f"hssl: {how}; the same command continues after the last finished epoch, or starts again:\n"
        f"  hssl train {config} --out {out}\n"
    ) in capsys.readouterr().err
    assert checkpoint(out)["epoch"] == 0
    assert main(words) == 0
    train(tiny(), tmp_path / "whole")
    assert metrics(out) == metrics(tmp_path / "whole")
    for part in ("state_dict", "optimizer_states"):
        assert same(checkpoint(out)[part], checkpoint(tmp_path / "whole")[part])


def test_inside_the_write_of_a_checkpoint(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, save = tmp_path / "run", torch.save

    def half(content: Any, stream: Any) -> None:
        if content["epoch"] == 1:
            stream.write(b"half of it")
            os.kill(os.getpid(), signal.SIGTERM)
        save(content, stream)

    monkeypatch.setattr(torch, "save", half)
    assert main(["train", str(config), "--out", str(out)]) == 143
    assert checkpoint(out)["epoch"] == 0
    assert [file.name for file in (out / "checkpoints").iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("place", ["load_data", "embed", "knn", "check_equivariance"])
def test_an_evaluation_that_is_ended_leaves_nothing_and_starts_again(
    place: str,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    train(tiny(trainer__epochs=1), out)

    def hit(*_: Any, **__: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(measures if place in ("embed", "knn") else evaluate, place, hit)
    names = {file.name for file in out.iterdir()}
    assert main(["evaluate", str(out)]) == 143
    assert (
        f"hssl: ended by SIGTERM; the same command measures it again:\n  hssl evaluate {out}\n"
    ) in capsys.readouterr().err
    assert {file.name for file in out.iterdir()} == names
    monkeypatch.undo()
    assert main(["evaluate", str(out)]) == 0


def _children(process: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _lives(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


def test_all_processes_of_a_run_end_with_one_voice(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    fields = {"trainer__devices": 2, "trainer__threads": 1, "trainer__epochs": 10**6}
    file.write_text(yaml.safe_dump(tiny(**fields).model_dump(mode="json")))
    process = subprocess.Popen(
        [sys.executable, "-m", "hssl.cli", "train", str(file), "--out", str(tmp_path / "run")],
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "WORLD_SIZE")},
    )
    others: list[int] = []
    try:
        until(lambda: (tmp_path / "run" / "metrics.jsonl").exists() or process.poll() is not None)
        assert process.poll() is None
        others = _children(process.pid)
        assert others
        process.terminate()
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(HANG_SECONDS) == 143, said
        assert said.count("ended by SIGTERM") == 1
        until(lambda: not any(_lives(other) for other in others))
    finally:
        for number in (process.pid, *others):
            if _lives(number):
                os.kill(number, signal.SIGKILL)
        process.wait()
