"""`hssl reproduce`: make the runs behind the paper's tables and figures, each once, whatever interrupts it.

A run is a process of its own (`hssl.experiments.cell`) under a lock, so several of these may work on one folder at
once: a run that another one makes is left to it and looked for again at the end.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from hssl.config import Config
from hssl.errors import ConfigurationError, HsslError
from hssl.experiments.cell import BUSY, GridFolder
from hssl.experiments.data_check import check_data
from hssl.experiments.manifest import Cell
from hssl.experiments.record import RunRecord
from hssl.places import below, from_environment

# Seconds between two looks at a run that another process makes.
_PATIENCE = 2.0
_OF_A_CELL = ("recipe", "mode", "transformation", "budget", "data.name", "backbone.name")


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
    for name, remedy in (
        ("seed", "give --seeds N for seeds 0 to N-1"),
        *((name, "choose cells by name, --datasets and --transformations") for name in _OF_A_CELL),
    ):
        if name in changes:
            raise ConfigurationError(f"a reproduction sets '{name}' itself", remedy=remedy)
    for cell in cells:
        for name in cell.changes.keys() & changes.keys():
            raise ConfigurationError(
                f"the chosen cells differ in '{name}'; set for all of them, they would be one",
                arrived=f"--{name} {changes[name]} with {cell.study or cell.artefact}",
                remedy="leave it out, or choose other cells",
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
        KeyboardInterrupt: after the processes were told to stop; what they did is kept.
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
    console.print(f"{len(work)} runs, {len(records)} of them done, {jobs} at a time, in {folder.path}", highlight=False)
    check_data(task.config for task in missing)
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for task in missing:
        waiting.put(task)
    pool = _Pool(folder, jobs, devices)
    lock = threading.Lock()
    told = 0

    def tell(task: Task, seconds: float, code: int) -> None:
        nonlocal told
        with lock:
            told += 1
            try:
                record = folder.record(task.name, task.config) if code == 0 else None
                message = folder.failure(task.name) or _died(code)
            except HsslError as error:
                record, message = None, str(error)
            if record is None:
                failures[task.name] = message
                said = f"failed: {message.splitlines()[0]}"
            else:
                records[task.name] = record
                readout = record.evaluation.readout
                said = f"done in {seconds:.0f} s" + ("" if readout is None else f", readout {readout.accuracy:.1f} %")
            console.print(f"{told} of {len(missing)}: {task.name} {said}", highlight=False, markup=False)

    pool.work_off(waiting, tell)
    return Outcome({task.name: records[task.name] for task in work if task.name in records}, failures)


def command(folder: GridFolder, name: str) -> list[str]:
    """What makes one run; its configuration goes to stdin."""
    return [sys.executable, "-m", "hssl.experiments.cell", str(folder.path), name]


class _Pool:
    """Threads that start processes, one at a time each, and wait for them."""

    def __init__(self, folder: GridFolder, jobs: int, devices: Sequence[str]) -> None:
        self._folder, self._jobs = folder, jobs
        self._devices = [devices[index % len(devices)] if devices else None for index in range(jobs)]
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = threading.Event()

    def work_off(self, waiting: queue.SimpleQueue[Task], tell: Callable[[Task, float, int], None]) -> None:
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
        except BaseException:
            self._stopped.set()
            for process in list(self._running):
                process.send_signal(signal.SIGINT)
            for thread in threads:
                thread.join(60)
            raise

    def _worker(
        self, waiting: queue.SimpleQueue[Task], tell: Callable[[Task, float, int], None], device: str | None
    ) -> None:
        while not self._stopped.is_set():
            try:
                task = waiting.get_nowait()
            except queue.Empty:
                return
            start = time.monotonic()
            code = self._start(task, device)
            if self._stopped.is_set():
                return
            if code == BUSY:
                # At the end of the queue, where others are done first.
                waiting.put(task)
                time.sleep(_PATIENCE)
                continue
            tell(task, time.monotonic() - start, code)

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
                process.communicate(task.config.model_dump_json())
            except BrokenPipeError:
                process.wait()  # it died before it read what to do
            finally:
                self._running.discard(process)
        return process.returncode


def _died(code: int) -> str:
    if code < 0:
        return f"the process was killed by {signal.Signals(-code).name}: was there too little memory?"
    return f"the process ended with code {code} and said nothing; its log may tell more"


def _devices() -> list[str]:
    """The GPUs that a run may be given, as CUDA_VISIBLE_DEVICES names them."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in given.split(",") if name.strip() not in ("", "-1")]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
