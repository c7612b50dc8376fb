"""One run of a grid as a task of a SLURM job. Imports no torch, and of submitit no more than goes on after a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hssl.config import Config
from hssl.files import write_atomically
from hssl.runs.grid import command, died
from hssl.runs.run import BUSY, GridFolder

# Seconds: between two looks at the run's process; that it has to stop; that another's run is waited for, and how often
# it is looked for.
_LOOK = 0.2
_STOP = 40.0
_PATIENCE = 600.0
_AGAIN = 20.0


class RunTask:
    """Makes one run in a process of its own, as `hssl reproduce` does on one machine.

    SLURM tells by a signal that the time is nearly up or that the place is taken; submitit then calls `checkpoint` and
    has the task queued again, where it goes on from the run's own checkpoint.

    Args:
        folder: of the grid, seen by every machine of the cluster.
        name: of the run.
        config: its configuration.
    """

    def __init__(self, folder: Path, name: str, config: Config) -> None:
        self.folder, self.name = folder.absolute(), name
        self.configuration = json.dumps(config.with_absolute_root().model_dump(mode="json"))
        self._process: subprocess.Popen[str] | None = None

    def __call__(self) -> int:
        """Returns 0, or `BUSY` where another process is still making the run.

        Raises:
            RuntimeError: the run failed; its error lies in the grid's folder.
        """
        folder, patience = GridFolder(self.folder), time.monotonic() + _PATIENCE
        # A machine that died may seem to hold the run's lock for a while.
        while (code := self._run(folder)) == BUSY and time.monotonic() < patience:
            time.sleep(_AGAIN)
        if code in (0, BUSY):
            return code
        if folder.failure(self.name) is None:
            write_atomically(folder.failure_file(self.name), f"{died(code, folder.log_file(self.name))}\n")
        raise RuntimeError(f"{self.name} failed: see {folder.failure_file(self.name)}")

    def checkpoint(self) -> Any:
        """Stop, and be queued again as you are."""
        from submitit.helpers import DelayedSubmission

        self._stop()
        return DelayedSubmission(self)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_process": None}

    def _run(self, folder: GridFolder) -> int:
        log = folder.log_file(self.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        # Lightning would take the job's tasks for the run's processes, of which it starts as many as it needs itself.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        environment.setdefault("THP_MEM_ALLOC_ENABLE", "1")
        try:
            with log.open("a", encoding="utf-8") as output, _spared():
                self._process = process = subprocess.Popen(
                    command(folder, self.name),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                    env=environment,
                )
            assert process.stdin is not None
            with suppress(BrokenPipeError), process.stdin:  # it may die before it reads what to do
                process.stdin.write(self.configuration)
            # In steps: `checkpoint` is called in the middle of this, and waits for the same process.
            while (code := process.poll()) is None:
                time.sleep(_LOOK)
            return code
        finally:
            self._stop()

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            # Not for ever: the signal may have come in the middle of a look, whose lock is free no more.
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)


@contextmanager
def _spared() -> Iterator[None]:
    """What is started in here does not get the signals that SLURM sends to every process of a job.

    They stay blocked in it; the task hears of them and stops it in order.
    """
    names = {os.environ.get("SUBMITIT_PREEMPT_SIGNAL", "USR2"), "TERM"}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.Signals[f"SIG{name}"] for name in names})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
