"""Tiny runs by their command line, in processes that may be ended, and how two folders of them differ."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hssl.cli import main
from hssl.config import MODES as MODES_OF
from hssl.training.checkpoint import load_checkpoint
from small_runs import TINY, metrics, same

MODES = ("a-ssl", "h-ssl", "hybrid", "frozen", "supervised")
CLOCK = ("wall_seconds", "joules", "date")
PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step")


def train(folder: Path, mode: str = "h-ssl", **changes: Any) -> list[str]:
    """The words of a training; fields by dotted name with '__' for the dot."""
    given = TINY | MODES_OF[mode] | {"trainer.threads": 1, "optimizer.warmup_epochs": 1}
    given |= {name.replace("__", "."): value for name, value in changes.items()}
    fields = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return ["train", "digits-rotation-hssl", "--budget", "smoke", *fields, "--out", str(folder)]


def evaluate(folder: Path) -> list[str]:
    """The words of an evaluation."""
    return ["evaluate", str(folder)]


class Forked:
    """The command in a process that has imported everything already, and in which something may be changed before."""

    def __init__(self, words: Sequence[str], log: Path, change: Callable[[], None] = lambda: None) -> None:
        self._log = log
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(stream, 1)
                os.dup2(stream, 2)
                sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))
                change()
                code = main(words)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

    def code(self) -> int:
        """Its exit code once it has ended, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")


def finished(words: Sequence[str], log: Path) -> None:
    """The same command once more, to its end."""
    process = Forked(words, log)
    assert process.code() == 0, process.said


def differences(folder: Path, whole: Path) -> list[str]:
    """What tells a run, and its evaluation if there is one, from that to which nothing happened."""
    ours, theirs = (load_checkpoint(place / "checkpoints" / "last.ckpt") for place in (folder, whole))
    found = [part for part in PARTS if not same(ours.get(part), theirs.get(part))]
    if metrics(folder) != metrics(whole):
        found.append("metrics.jsonl")
    if evaluation(folder) != evaluation(whole):
        found.append("evaluation.json")
    found += [file.name for file in folder.rglob(".*.part")]
    return found


def evaluation(folder: Path) -> dict[str, Any] | None:
    """Without what the clock decides; None where there is none."""
    file = folder / "evaluation.json"
    if not file.exists():
        return None
    return {name: value for name, value in json.loads(file.read_text()).items() if name not in CLOCK}
