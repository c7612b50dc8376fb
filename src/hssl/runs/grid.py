"""`hssl reproduce`: make the runs behind the paper's tables and figures, each once, whatever interrupts it.

A run is a process of its own (`hssl.runs.run`) under a lock, so several of these may work on one folder at
once: a run that another one makes is left to it and looked for again at the end.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hssl.config import Config
from hssl.errors import ConfigurationError, HsslError
from hssl.extras import extra
from hssl.paper.grid import Cell
from hssl.places import below, from_environment
from hssl.runs.data_check import check_data, described
from hssl.runs.record import RunRecord
from hssl.runs.run import BUSY, GridFolder
from hssl.runs.watch import Watch, duration
from hssl.signals import name_of

with extra("terminal"):
    from rich.console import Console

# Seconds between two looks at a run that another process makes.
_PATIENCE = 2.0
# Seconds that processes are given to stop.
_GRACE = 10.0
_OF_A_CELL = ("recipe", "budget", "data.name", "group.name", "backbone.name", "views.name", "method.name")


@dataclass(frozen=True)
class Task:
    """A run to make: its name in the folder and its configuration."""

    name: str
    config: Config


@dataclass(frozen=True)
class Outcome:
    """How the runs of a grid stand.

    Attributes:
        records: by name, of those that are done.
        failures: by name, the error of those that failed.
    """

    records: Mapping[str, RunRecord]
    failures: Mapping[str, str]


def tasks(cells: Sequence[Cell], seeds: Sequence[int], budget: str, changes: Mapping[str, Any]) -> list[Task]:
    """The runs behind cells, seeds outermost: after one round every cell has a number. A shared run is there once.

    'data.root' is a folder with a sub-folder for each data set (see `hssl.places`), and 'none' the hub; left out it is
    HSSL_DATA, or the hub.

    Raises:
        ConfigurationError: fields that do not hold, or a field that the grid sets itself.
    """
    for name, hint in (
        ("seed", "give --seeds N for seeds 0 to N-1"),
        *((name, "choose cells by name, --datasets and --transformations") for name in _OF_A_CELL),
    ):
        if name in changes:
            raise ConfigurationError(f"a reproduction sets '{name}' itself", hint=hint)
    for cell in cells:
        for name in cell.changes.keys() & changes.keys():
            raise ConfigurationError(
                f"the chosen cells differ in '{name}'; set for all of them, they would be one",
                got=f"--{name} {changes[name]} with {cell.study or cell.artefact}",
                hint="leave it out, or choose other cells",
            )
    alone = len({cell.dataset for cell in cells}) == 1
    found: dict[str, Task] = {}
    for seed in seeds:
        for cell in cells:
            name = f"{cell.run}-{budget}-seed{seed}"
            if name not in found:
                config = cell.configuration(budget, seed, changes)
                if config.data.root is not None:
                    config = below(config, config.data.root, alone=alone)
                elif "data.root" not in changes:
                    config = from_environment(config)
                if config.trainer.devices * config.trainer.nodes > 1:
                    raise ConfigurationError(
                        "a run of a grid is one process on one device",
                        got=f"trainer.devices {config.trainer.devices}, trainer.nodes {config.trainer.nodes}",
                        hint="use several devices for several runs, with --jobs N; 'hssl train' makes a run on many",
                    )
                found[name] = Task(name, config)
    return list(found.values())


def run(work: Sequence[Task], folder: GridFolder, jobs: int | None = None, console: Console | None = None) -> Outcome:
    """Make what is missing, `jobs` runs at a time, and tell how all of them stand.

    Args:
        work: the runs.
        folder: where they lie.
        jobs: processes at a time; None for one a GPU, or one where there is none.
        console: where progress is told.

    Raises:
        DataError: the data of a missing run is not there; no run has been started then.
        KeyboardInterrupt: after the processes were told to stop; what they did is kept. So with `Ended`.
    """
    console = console or Console(stderr=True)
    devices = _devices()
    jobs = jobs or max(1, len(devices))
    missing: list[Task] = []
    records: dict[str, RunRecord] = {}
    failures: dict[str, str] = {}
    for task in work:
        try:
            record = folder.record(task.name, task.config)
        except HsslError:
            record = None  # the run's own process mends it, or says what is wrong
        if record is None:
            missing.append(task)
        else:
            records[task.name] = record

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=not console.is_terminal)

    done = "all" if not missing else len(records) or "none"
    budgets = ", ".join(sorted({task.config.budget for task in work}))
    say(f"{_counted(len(work))} at the {budgets} budget, {done} of them done, {jobs} at a time, in {folder.path}")
    if places := described(task.config for task in missing):
        say(f"data: {places}")
    check_data(task.config for task in missing)
    watch = Watch(folder, len(missing), jobs)
    lock = threading.Lock()

    def tell(task: Task, end: _End) -> None:
        with lock:
            try:
                record = folder.record(task.name, task.config) if end.code == 0 else None
                message = end.error or folder.failure(task.name) or died(end.code, folder.log_file(task.name))
            except HsslError as error:
                record, message = None, str(error)
            watch.ended(task.name)
            if record is None:
                failures[task.name] = message
                said = f"failed: {message.splitlines()[0]}"
            else:
                records[task.name] = record
                readout = record.evaluation.readout
                said = f"done in {duration(end.seconds)}"
                said += "" if readout is None else f", readout {readout.accuracy:.1f} %"
            say(f"{len(missing) - watch.left} of {len(missing)}: {task.name} {said}")

    with watch.shown(console), _terminable():
        _Pool(folder, jobs, devices, watch).work_off(missing, tell)
    return Outcome({task.name: records[task.name] for task in work if task.name in records}, failures)


def command(folder: GridFolder, name: str) -> list[str]:
    """What makes one run; its configuration goes to stdin."""
    return [sys.executable, "-m", "hssl.runs.run", str(folder.path), name]


@dataclass(frozen=True)
class _End:
    """How a run's process ended; `error` where it could not even be started."""

    seconds: float
    code: int
    error: str | None = None


class _Pool:
    """Threads that start processes, one at a time each, and wait for them."""

    def __init__(self, folder: GridFolder, jobs: int, devices: Sequence[str], watch: Watch) -> None:
        self._folder, self._jobs, self._watch = folder, jobs, watch
        self._devices = [devices[index % len(devices)] if devices else None for index in range(jobs)]
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = threading.Event()
        self._broken: BaseException | None = None

    def work_off(self, work: Sequence[Task], tell: Callable[[Task, _End], None]) -> None:
        """Make them all; `tell` is called with each that ended, from the threads."""
        waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for task in work:
            waiting.put(task)
        threads = [
            threading.Thread(target=self._worker, args=(waiting, tell, device), daemon=True) for device in self._devices
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                # In steps: an untimed join would keep an interrupt waiting.
                while thread.is_alive():
                    thread.join(0.2)
            if self._broken is not None:
                raise self._broken
        except BaseException:
            self._stopped.set()
            self._stop(threads)
            raise

    def _stop(self, threads: Sequence[threading.Thread]) -> None:
        # Not SIGINT, which processes started in the background of a script never hear.
        for process in list(self._running):
            process.terminate()
        limit = time.monotonic() + _GRACE
        for thread in threads:
            thread.join(max(0.0, limit - time.monotonic()))
        # No harm in it: whatever a run keeps, it keeps in one step.
        for process in list(self._running):
            process.kill()
        for thread in threads:
            thread.join(_GRACE)

    def _worker(self, waiting: queue.SimpleQueue[Task], tell: Callable[[Task, _End], None], device: str | None) -> None:
        try:
            while not self._stopped.is_set():
                try:
                    task = waiting.get_nowait()
                except queue.Empty:
                    return
                end = self._make(task, device)
                if self._stopped.is_set():
                    return
                if end.code == BUSY:
                    # At the end of the queue, where others are done first.
                    self._watch.waiting(task.name)
                    waiting.put(task)
                    self._stopped.wait(_PATIENCE)
                    continue
                tell(task, end)
        except BaseException as error:
            # A thread's error is nobody's, and what it did not make would be missed by nobody.
            self._broken = error
            self._stopped.set()

    def _make(self, task: Task, device: str | None) -> _End:
        start = time.monotonic()
        self._watch.started(task.name)
        try:
            code, error = self._start(task, device), None
        except OSError as refused:
            code, error = 1, f"its process could not be started: {refused}"
        return _End(time.monotonic() - start, code, error)

    def _start(self, task: Task, device: str | None) -> int:
        log = self._folder.log_file(task.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ)
        if device is not None:
            environment["CUDA_VISIBLE_DEVICES"] = device
        elif self._jobs > 1:
            environment.setdefault("OMP_NUM_THREADS", str(max(1, _cores() // self._jobs)))
        environment.setdefault("THP_MEM_ALLOC_ENABLE", "1")
        with log.open("a", encoding="utf-8") as output:
            process = subprocess.Popen(
                command(self._folder, task.name),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
            self._running.add(process)
            try:
                process.communicate(json.dumps(task.config.model_dump(mode="json")))
            except BrokenPipeError:
                process.wait()  # it died before it read what to do
            finally:
                self._running.discard(process)
        return process.returncode


@contextmanager
def _terminable() -> Iterator[None]:
    """Where nobody hears SIGTERM it is an interrupt: the runs' processes are stopped too, and do not work on unseen."""
    heard = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    if heard or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _counted(runs: int) -> str:
    return "1 run" if runs == 1 else f"{runs} runs"


def died(code: int, log: Path) -> str:
    """What is known of a process that left no error: its exit code, negative or above 128 for a signal."""
    number = -code if code < 0 else code - 128
    if number in signal.valid_signals():
        name = name_of(number)
        guess = ": was there too little memory? Its" if name == "SIGKILL" else "; its"
        return f"the process was killed by {name}{guess} log: {log}"
    return f"the process ended with code {code} and left no message; its log: {log}"


def _devices() -> list[str]:
    """The GPUs that a run may be given, as CUDA_VISIBLE_DEVICES names them."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in given.split(",") if name.strip() not in ("", "-1")]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
