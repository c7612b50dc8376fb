"""A grid of runs: what is missing is made, what fails leaves the others, what is busy is looked for again."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from fakes.small_run import configuration
from hssl.errors import ConfigurationError
from hssl.paper.grid import cells
from hssl.runs import grid as module
from hssl.runs.grid import Task, died, run, tasks
from hssl.runs.run import GridFolder, make
from hssl.signals import endable
from waiting import until

QUIET = Console(quiet=True)

# Stands in for a run's process: does what its name says.
_STAND_IN = """
import os, pathlib, shutil, signal, sys, time
folder, name, made = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
sys.stdin.read()
with open(folder / "calls.txt", "a") as calls:
    calls.write(name + "\\n")
if name.startswith("killed"):
    os.kill(os.getpid(), signal.SIGKILL)
if name.startswith("mendable"):
    (folder / "failures").mkdir(exist_ok=True)
    (folder / f"failures/{name}.txt").write_text("the disk is full\\n")
    sys.exit(2)
if name.startswith("silent"):
    sys.exit(1)
if name.startswith("busy") and (folder / "calls.txt").read_text().splitlines().count(name) < 3:
    sys.exit(75)
if name.startswith("slow-deaf"):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    (folder / "deaf").touch()
if name.startswith("slow"):
    time.sleep(600)
(folder / "records").mkdir(exist_ok=True)
shutil.copy(made, folder / f"records/{name}.json")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of a real run."""
    folder = GridFolder(tmp_path_factory.mktemp("made"))
    make(folder, "one", configuration())
    return folder.record_file("one")


@pytest.fixture
def folder(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> GridFolder:
    def stand_in(folder: GridFolder, name: str) -> list[str]:
        return [sys.executable, "-c", _STAND_IN, str(folder.path), name, str(made)]

    monkeypatch.setattr(module, "command", stand_in)
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    tmp_path.joinpath("grid").mkdir()
    return GridFolder(tmp_path / "grid")


def work(*names: str) -> list[Task]:
    return [Task(name, configuration()) for name in names]


def calls(folder: GridFolder) -> list[str]:
    file = folder.path / "calls.txt"
    return file.read_text().split() if file.exists() else []


def terminate_once(ready: Callable[[], object]) -> None:
    """SIGTERM to this process, from a thread, once something is so: a file that exists may still be empty."""

    def wait() -> None:
        until(ready)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait).start()


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_fails_leaves_the_others(jobs: int, folder: GridFolder) -> None:
    names = ("a", "killed", "b", "mendable", "silent", "c")
    outcome = run(work(*names), folder, jobs, QUIET)
    assert list(outcome.records) == ["a", "b", "c"]
    assert "killed by SIGKILL" in outcome.failures["killed"]
    assert outcome.failures["mendable"] == "the disk is full"
    assert "code 1" in outcome.failures["silent"]
    assert str(folder.log_file("silent")) in outcome.failures["silent"]
    assert sorted(calls(folder)) == sorted(names)
    # Again: what is done is left alone, what failed is tried.
    run(work(*names), folder, jobs, QUIET)
    assert sorted(calls(folder)[len(names) :]) == ["killed", "mendable", "silent"]


def test_a_process_that_cannot_be_started_leaves_the_others(
    folder: GridFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = module.command
    monkeypatch.setattr(module, "command", lambda at, name: ["/no/such"] if name == "b" else stand_in(at, name))
    outcome = run(work("a", "b", "c"), folder, 1, QUIET)
    assert list(outcome.records) == ["a", "c"]
    assert "could not be started" in outcome.failures["b"]
    assert "/no/such" in outcome.failures["b"]


def test_an_error_in_a_thread_is_not_taken_for_an_end(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid whose threads died would look like one that has nothing left to do."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(module, "duration", broken)
    with pytest.raises(ZeroDivisionError):
        run(work("a", "b"), folder, 2, QUIET)


def test_a_busy_run_is_looked_for_again_after_the_others(folder: GridFolder) -> None:
    outcome = run(work("busy", "a"), folder, 1, QUIET)
    assert list(outcome.records) == ["busy", "a"]
    assert calls(folder) == ["busy", "a", "busy", "busy"]


def test_an_interrupt_stops_the_processes(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    join = threading.Thread.join

    def interrupted(thread: threading.Thread, timeout: float | None = None) -> None:
        join(thread, timeout)
        if calls(folder):
            monkeypatch.setattr(threading.Thread, "join", join)
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(work("slow", "a"), folder, 1, QUIET)
    assert calls(folder) == ["slow"]
    assert not folder.record_file("slow").exists()  # what was stopped did not come to its end


@pytest.mark.parametrize("name", ["slow", "slow-deaf"])
def test_a_grid_that_is_terminated_stops_its_processes(
    name: str, folder: GridFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that do not hear are killed."""
    monkeypatch.setattr(module, "_GRACE", 0.5)
    before = signal.getsignal(signal.SIGTERM)

    deaf = folder.path / "deaf"
    terminate_once(deaf.exists if name == "slow-deaf" else lambda: calls(folder))
    with pytest.raises(KeyboardInterrupt):
        run(work(name, "a"), folder, 1, QUIET)
    assert calls(folder) == [name]
    assert not folder.record_file(name).exists()
    assert not [thread for thread in threading.enumerate() if thread.is_alive() and "_worker" in thread.name]
    assert signal.getsignal(signal.SIGTERM) is before


def test_under_the_command_line_it_ends_by_the_signal(folder: GridFolder) -> None:
    """Who hears signals already is asked first."""
    terminate_once(lambda: calls(folder))
    words: list[int] = []
    assert endable(lambda: len(run(work("slow", "a"), folder, 1, QUIET).records), words.append) == 143
    assert words == [signal.SIGTERM]
    assert calls(folder) == ["slow"]
    assert not folder.record_file("slow").exists()  # what was stopped did not come to its end


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-9, "killed by SIGKILL: was there too little memory?"),
        (143, "killed by SIGTERM; its log"),
        (-15, "killed by SIGTERM; its log"),
        (1, "ended with code 1"),
        (255, "ended with code 255"),
    ],
)
def test_what_is_known_of_a_process_that_says_nothing(code: int, said: str) -> None:
    assert said in died(code, Path("log.txt"))


def test_the_record_of_another_run_is_a_failure_and_stays(folder: GridFolder, made: Path) -> None:
    other = configuration(seed=1)
    outcome = run([Task("a", other), *work("b")], folder, 1, QUIET)
    assert list(outcome.records) == ["b"]
    assert "other settings" in outcome.failures["a"]
    assert folder.record_file("a").read_bytes() == made.read_bytes()


def test_runs_are_made_by_seed_and_shared_ones_once() -> None:
    chosen = cells(["table1", "figure2-base-space", "figure2-distance"], ["mnist"], ["scale"], "smoke")
    found = tasks(chosen, (0, 1), "smoke", {"trainer.epochs": "1"})
    names = [task.name for task in found]
    assert len(names) == len(set(names)) == 2 * (4 + 5 + 5)
    assert names[0] == "mnist-scale-assl-smoke-seed0"
    assert all("seed0" in name for name in names[:14])
    assert {task.config.trainer.epochs for task in found} == {1}
    assert len({task.config.identity() for task in found}) == len(found)


def test_a_grid_sets_its_seeds_itself() -> None:
    with pytest.raises(ConfigurationError, match="--seeds"):
        tasks(cells(["table1"]), (0,), "smoke", {"seed": "3"})


def test_a_run_of_a_grid_has_one_device() -> None:
    chosen = cells(["table1"], ["mnist"], ["scale"])
    for field in ("trainer.devices", "trainer.nodes"):
        assert tasks(chosen, (0,), "smoke", {field: "1"})
        with pytest.raises(ConfigurationError, match="one process on one device"):
            tasks(chosen, (0,), "smoke", {field: "2"})
