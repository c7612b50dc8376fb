"""One training at a time in a folder, whatever happens to its process."""

import errno
import fcntl
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hssl.training.engine import train
from hssl.training.evaluate import evaluate_run, measure_equivariance
from hssl.training.run_folder import RunFolder
from hssl.training.run_lock import RunInUseError, locked
from small_runs import checkpoint, metrics, same, snapshot, tiny

HOLD = """
import sys, time
from pathlib import Path
from hssl.training.run_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


class Holder:
    """Another process with the lock of a file."""

    def __init__(self, file: Path) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    holder = Holder(tmp_path / "run.lock")
    yield holder
    holder.kill()


def test_a_held_lock_names_its_holder_and_a_kill_lets_it_go(holder: Holder, tmp_path: Path) -> None:
    file = tmp_path / "run.lock"
    before = file.read_bytes(), file.stat().st_mtime_ns
    with pytest.raises(RunInUseError) as refusal, locked(file):
        pass
    assert f"process {holder.process.pid} on {platform.node()}, since 20" in str(refusal.value)
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    holder.kill()
    for _ in range(2):  # let go, and let go again
        with locked(file) as alone:
            assert alone
            assert file.read_text().startswith(f"process {os.getpid()} on ")


def test_a_folder_in_use_is_refused_untouched_and_read_all_the_same(tmp_path: Path) -> None:
    train(tiny(trainer__epochs=1), tmp_path / "whole")
    expected = evaluate_run(tmp_path / "whole")["equivariance"]
    folder = RunFolder(tmp_path / "run")
    folder.claim(tiny())
    holder = Holder(folder.lock_file)
    try:
        before = snapshot(tmp_path)
        with pytest.raises(RunInUseError, match=f"process {holder.process.pid} "):
            train(tiny(), folder.path)
        assert snapshot(tmp_path) == before
    finally:
        holder.kill()
    holder = Holder(RunFolder(tmp_path / "whole").lock_file)
    try:
        # Who only reads asks nobody: an evaluation, the equivariance error, and a training that is already done.
        assert evaluate_run(tmp_path / "whole")["equivariance"] == expected
        assert measure_equivariance(run=tmp_path / "whole")["held"]
        assert train(tiny(trainer__epochs=1), tmp_path / "whole")["epochs"] == 1
    finally:
        holder.kill()


def test_a_folder_that_is_taken_while_data_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hssl.training import engine

    load, out, holders = engine.load_data, tmp_path / "run", []

    def slow(*arguments: Any) -> Any:
        RunFolder(out).claim(tiny())
        holders.append(Holder(RunFolder(out).lock_file))
        return load(*arguments)

    monkeypatch.setattr(engine, "load_data", slow)
    with pytest.raises(RunInUseError):
        train(tiny(), out)
    holders[0].kill()
    assert {file.name for file in out.iterdir()} == {"config.yaml", "run.lock", "checkpoints"}


def test_what_another_process_finished_meanwhile_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hssl.training import engine

    load, out = engine.load_data, tmp_path / "run"

    def slow(*arguments: Any) -> Any:
        monkeypatch.setattr(engine, "load_data", load)
        train(tiny(), out)
        return load(*arguments)

    monkeypatch.setattr(engine, "load_data", slow)
    train(tiny(), out)
    assert [line["epoch"] for line in metrics(out)] == [0, 1, 2]
    assert len((out / "log.txt").read_text().splitlines()) == 4


def test_a_kill_before_the_folder_has_a_name_leaves_it_usable(tmp_path: Path) -> None:
    (tmp_path / "run.lock").write_text("process 1 on another machine\n")
    train(tiny(trainer__epochs=1), tmp_path)
    assert len(metrics(tmp_path)) == 1


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO])
def test_without_locks_it_is_said_and_gone_on(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", unknown)
    if number == errno.EIO:  # the control: not every failure is a file system without locks
        with pytest.raises(OSError, match="Input/output error"):
            train(tiny(trainer__epochs=1), tmp_path)
        return
    assert any("knows no locks" in note for note in train(tiny(trainer__epochs=1), tmp_path)["notes"])
    assert (tmp_path / "run.lock").read_text() == ""
    monkeypatch.undo()
    assert train(tiny(trainer__epochs=1), tmp_path / "with")["notes"] == ()
    assert same(checkpoint(tmp_path)["state_dict"], checkpoint(tmp_path / "with")["state_dict"])


def test_leftovers_of_killed_writers_go_but_not_those_of_evaluations(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.claim(tiny())
    left = [folder.checkpoints / ".last.ckpt.part", folder.checkpoints / ".last.ckpt.a1b2.part"]
    left.append(tmp_path / ".metrics.jsonl.a1b2.part")
    other = tmp_path / ".evaluation.json.a1b2.part"
    for file in (*left, other):
        file.touch()
    with folder.held():
        assert not any(file.exists() for file in left)
        assert other.exists()
