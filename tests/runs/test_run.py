"""A run of a grid: made once, gone on with, never overwritten, and alone with its errors."""

import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.small_run import configuration
from hssl.config import Config, parse
from hssl.errors import RunFolderError
from hssl.runs import run as module
from hssl.runs.record import read
from hssl.runs.run import BUSY, GridFolder, main, make
from hssl.training.run_folder import RunFolder
from waiting import HANG_SECONDS, until


@pytest.fixture
def folder(tmp_path: Path) -> GridFolder:
    return GridFolder(tmp_path / "grid")


def asked(monkeypatch: pytest.MonkeyPatch, config: Config) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(config.model_dump_json()))


def test_a_run_is_made_once(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configuration()
    asked(monkeypatch, config)
    assert main([str(folder.path), "one"]) == 0
    file = folder.record_file("one")
    record, written = read(file), file.stat().st_mtime_ns
    assert record.identity == config.identity()
    assert record.evaluation.complete
    asked(monkeypatch, config)
    assert main([str(folder.path), "one"]) == 0
    assert file.stat().st_mtime_ns == written
    # Lost before it was written, it is collected from the run again, with the same numbers.
    file.unlink()
    again = make(folder, "one", config)
    assert again.metrics == record.metrics
    assert again.evaluation.readout == record.evaluation.readout


def test_a_damaged_record_is_put_aside_and_made_anew(folder: GridFolder) -> None:
    config = configuration()
    make(folder, "one", config)
    file = folder.record_file("one")
    whole = file.read_text()
    for number in (1, 2):
        file.write_text(whole[: len(whole) // 2])
        make(folder, "one", config)
        assert read(file).identity == config.identity()
        assert file.with_name(f"one.json.damaged-{number}").read_text() == whole[: len(whole) // 2]


def test_another_runs_record_is_never_replaced(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    make(folder, "one", configuration())
    before = folder.record_file("one").read_bytes()
    other = configuration(seed=1)
    with pytest.raises(RunFolderError, match="other settings") as refused:
        make(folder, "one", other)
    assert "seed: 0 there, 1 asked" in str(refused.value)
    asked(monkeypatch, other)
    assert main([str(folder.path), "one"]) == 2
    assert folder.record_file("one").read_bytes() == before
    assert "other settings" in (folder.failure("one") or "")


def test_errors_are_kept_and_forgotten_once_it_works(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of all things")

    with monkeypatch.context() as patched:
        patched.setattr("hssl.training.engine.train", broken)
        asked(patched, configuration())
        assert main([str(folder.path), "one"]) == 1
    failure = folder.failure("one")
    assert failure is not None
    assert failure.startswith("ZeroDivisionError: of all things\n")
    assert "Traceback" in failure
    assert not folder.record_file("one").exists()
    asked(monkeypatch, configuration())
    assert main([str(folder.path), "one"]) == 0
    assert folder.failure("one") is None


def test_an_old_error_is_not_taken_for_that_of_a_run_that_was_killed(
    folder: GridFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.failure_file("one").parent.mkdir(parents=True)
    folder.failure_file("one").write_text("of yesterday")

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(module, "make", killed)
    asked(monkeypatch, configuration())
    with pytest.raises(Killed):
        main([str(folder.path), "one"])
    assert folder.failure("one") is None


def test_what_another_process_makes_is_left_to_it(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real process holds the lock; killed, it lets it go."""
    held = folder.path / "held"
    code = (
        "import sys, time; from pathlib import Path; from hssl.runs.run import GridFolder\n"
        "lock = GridFolder(Path(sys.argv[1])).lock('one'); lock.acquire(); Path(sys.argv[2]).touch(); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(folder.path), str(held)])
    try:
        until(held.exists)
        monkeypatch.setattr(module, "make", lambda *_: None)
        asked(monkeypatch, configuration())
        assert main([str(folder.path), "one"]) == BUSY
        asked(monkeypatch, configuration())
        assert main([str(folder.path), "other"]) == 0
    finally:
        holder.kill()
        holder.wait()
    asked(monkeypatch, configuration())
    assert main([str(folder.path), "one"]) == 0


@pytest.mark.parametrize(
    ("number", "ignored"), [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, False)]
)
def test_a_run_can_be_told_to_stop(number: int, ignored: bool, folder: GridFolder) -> None:
    """By a scheduler's task, and by `hssl reproduce`.

    Also where the shell that started it, in its background or behind nohup, has it ignore interrupts.
    """
    config = configuration(**{"trainer.epochs": 10**6})
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "hssl.runs.run", str(folder.path), "one"], stdin=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        assert process.stdin is not None
        process.stdin.write(config.model_dump_json())
        process.stdin.close()
        journal = folder.run("one") / "metrics.jsonl"
        until(journal.exists)
        process.send_signal(number)
        code = process.wait(HANG_SECONDS)
        # Lightning makes an error of an interrupt.
        assert code == 143 if number == signal.SIGTERM else code != 0
        assert not folder.record_file("one").exists()
        assert len(journal.read_text().splitlines()) < 10**6
    finally:
        process.kill()
        process.wait()


def test_a_run_that_is_trained_outside_of_its_grid_is_left_to_who_trains_it(
    folder: GridFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked(monkeypatch, configuration())
    with RunFolder(folder.run("one")).held():
        assert main([str(folder.path), "one"]) == BUSY
    assert folder.failure("one") is None
    asked(monkeypatch, configuration())
    assert main([str(folder.path), "one"]) == 0


def test_the_command_says_how_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_records_hold_the_whole_configuration(folder: GridFolder) -> None:
    config = configuration()
    make(folder, "one", config)
    kept = json.loads(folder.record_file("one").read_text())["record"]["configuration"]
    assert parse(kept).identity() == config.identity()


def test_without_a_word_on_what_to_do_nothing_is_said_of_the_run(
    folder: GridFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever started the process was killed before it could tell."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main([str(folder.path), "one"]) == 2
    assert folder.failure("one") is None


def test_leftovers_of_killed_writers_are_removed_by_who_holds_the_lock(
    folder: GridFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "make", lambda *_: None)
    left, others = [], []
    for found, name in ((left, "one"), (others, "one-more")):
        checkpoints = folder.run(name) / "checkpoints"
        for file in (folder.record_file(name), folder.failure_file(name), checkpoints / "last.ckpt"):
            file.parent.mkdir(parents=True, exist_ok=True)
            found.append(file.with_name(f".{file.name}.abc.part"))
            found[-1].touch()
    lock = folder.lock("one")
    with lock:
        asked(monkeypatch, configuration())
        assert main([str(folder.path), "one"]) == BUSY
    assert all(file.exists() for file in left)
    asked(monkeypatch, configuration())
    assert main([str(folder.path), "one"]) == 0
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in others)
