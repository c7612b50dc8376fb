"""A task of a job outlives the signals of its cluster, and leaves no run without a word."""

import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import submitit

from fakes.small_run import configuration
from hssl.runs import slurm_task as module
from hssl.runs.run import BUSY, GridFolder
from hssl.runs.slurm_task import RunTask
from waiting import until


@pytest.fixture
def folder(tmp_path: Path) -> GridFolder:
    return GridFolder(tmp_path)


def task(folder: GridFolder, code: str, monkeypatch: pytest.MonkeyPatch) -> RunTask:
    """A task whose process does something else than make a run."""
    monkeypatch.setattr(module, "command", lambda *_: [sys.executable, "-c", f"import os, signal, sys, time\n{code}"])
    return RunTask(folder.path, "one", configuration())


SIGNALLED = "for number in (signal.SIGUSR2, signal.SIGTERM): os.kill(os.getpid(), number)"


def test_signals_of_the_cluster_do_not_end_the_run(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert task(folder, SIGNALLED, monkeypatch)() == 0
    # The control: a process that is started as usual dies of them. And this process hears them as before.
    alone = subprocess.run([sys.executable, "-c", f"import os, signal\n{SIGNALLED}"])
    assert alone.returncode == -signal.SIGUSR2
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_the_run_does_not_see_the_job(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning would take the job's tasks for its own processes."""
    monkeypatch.setenv("SLURM_NTASKS", "3")
    monkeypatch.setenv("KEPT", "yes")
    seen = "sys.exit('SLURM_NTASKS' in os.environ or os.environ['KEPT'] != 'yes')"
    assert task(folder, seen, monkeypatch)() == 0


def test_a_run_that_died_without_a_word_gets_one(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="one failed"):
        task(folder, "os.kill(os.getpid(), signal.SIGKILL)", monkeypatch)()
    assert "killed by SIGKILL" in (folder.failure("one") or "")


def test_a_runs_own_word_stays(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.failure_file("one").parent.mkdir()
    folder.failure_file("one").write_text("the disk is full")
    with pytest.raises(RuntimeError, match="one failed"):
        task(folder, "sys.exit(2)", monkeypatch)()
    assert folder.failure("one") == "the disk is full"


def test_a_busy_run_is_waited_for(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN", 0.01)
    tries = folder.path / "tries"
    code = f"open({str(tries)!r}, 'a').write('.'); sys.exit({BUSY} if len(open({str(tries)!r}).read()) < 3 else 0)"
    assert task(folder, code, monkeypatch)() == 0
    assert tries.read_text() == "..."
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    assert task(folder, f"sys.exit({BUSY})", monkeypatch)() == BUSY
    assert folder.failure("one") is None


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_checkpoint_stops_the_run(stubborn: bool, folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order where it listens, by force where it does not; and in the middle of the task's own wait for it."""
    monkeypatch.setattr(module, "_STOP", 1.0)
    here = folder.path / "pid"
    deaf = "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" if stubborn else ""
    made = task(folder, f"{deaf}open({str(here)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)", monkeypatch)
    again: list[object] = []

    def put_out(*_: object) -> None:
        again.append(made.checkpoint())
        raise SystemExit(-1)

    before = signal.signal(signal.SIGUSR2, put_out)
    # A process that signals this one once the run's process is there.
    code = (
        f"import os, pathlib, signal, time; file = pathlib.Path({str(here)!r})\n"
        f"while not file.exists() or not file.read_text(): time.sleep(0.05)\n"
        f"os.kill({os.getpid()}, signal.SIGUSR2)"
    )
    other = subprocess.Popen([sys.executable, "-c", code])
    try:
        with pytest.raises(SystemExit):
            made()
    finally:
        signal.signal(signal.SIGUSR2, before)
        other.wait()
    pid = int(here.read_text())
    until(lambda: not Path(f"/proc/{pid}").exists())
    (submission,) = again
    assert isinstance(submission, submitit.helpers.DelayedSubmission)
    assert submission.function is made
    assert folder.failure("one") is None


def test_a_task_travels_without_its_process(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    made = task(folder, "pass", monkeypatch)
    made._process = subprocess.Popen([sys.executable, "-c", "pass"])
    made._process.wait()
    with pytest.raises(TypeError):
        pickle.dumps(made._process)
    there = pickle.loads(pickle.dumps(made))
    assert (there.folder, there.name, there.configuration) == (made.folder, made.name, made.configuration)
    assert there() == 0
