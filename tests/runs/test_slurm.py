"""A grid on a cluster: submitted once, queued again when its time is up, and gone on with where it was."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.slurm import FakeSlurm
from fakes.small_run import configuration
from hssl.cli import main
from hssl.errors import ConfigurationError, RunFolderError
from hssl.extras import MissingPackageError
from hssl.runs.grid import Task
from hssl.runs.record import read
from hssl.runs.run import GridFolder, make
from hssl.runs.slurm import jobs_file, submit
from hssl.runs.slurm_options import Resources
from small_runs import metrics
from waiting import until

# Many: a signal must find the run at work on a slow machine too.
EPOCHS = 150


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlurm]:
    cluster = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("FAKE_SLURM", str(cluster.root))
    monkeypatch.setenv("PATH", f"{cluster.root / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield cluster
    cluster.stop()


@pytest.fixture
def folder(tmp_path: Path) -> GridFolder:
    return GridFolder(tmp_path / "grid with a blank")


def work(*seeds: int, **changes: object) -> list[Task]:
    return [Task(f"run-smoke-seed{seed}", configuration(seed=seed, **changes)) for seed in seeds]


def waits(folder: GridFolder, tasks: list[Task]) -> None:
    until(lambda: all(folder.record_file(task.name).exists() for task in tasks))


def test_an_array_job_makes_what_is_missing(slurm: FakeSlurm, folder: GridFolder) -> None:
    tasks = work(0, 1, 2)
    make(folder, tasks[1].name, tasks[1].config)
    asked = Resources(partition="big", account="us", time=90, gpus=2, cpus=3, memory=1.5, setup="export A=b")
    standing = submit(tasks, folder, asked, at_once=1)
    assert list(standing.states.values()) == ["submitted", "done", "submitted"]
    assert standing.jobs == {tasks[0].name: "4700_0", tasks[2].name: "4700_1"}
    assert standing.open
    (script,) = slurm.scripts
    for line in (
        "partition=big", "account=us", "time=90", "gpus-per-node=2", "cpus-per-task=3", "mem=1536MB", "array=0-1%1",
        "requeue", "job-name=hssl", "ntasks-per-node=1",
    ):  # fmt: skip
        assert f"#SBATCH --{line}\n" in script
    assert "\nexport A=b\n" in script
    assert "--cpus-per-task=3 " in script[script.index("srun ") :]
    waits(folder, tasks)
    until(lambda: not slurm.alive)
    for task in tasks:
        record = read(folder.record_file(task.name))
        assert record.identity == task.config.identity()
        assert record.evaluation.complete
    (slurm.root / "mute").touch()  # where all are done nobody is asked
    again = submit(tasks, folder, asked)
    assert not again.open
    assert again.jobs == {}
    assert len(slurm.scripts) == 1
    assert (folder.path / "logs" / f"{tasks[0].name}.txt").exists()


@pytest.mark.parametrize(("minutes", "timed_out"), [(5, True), (240, False)])
def test_a_run_that_is_put_out_goes_on_from_its_checkpoint(
    minutes: int, timed_out: bool, slurm: FakeSlurm, folder: GridFolder, tmp_path: Path
) -> None:
    """Its time is nearly up, or another job wants its place: submitit asks for the latter as often as it comes."""
    (task,) = tasks = work(0, **{"trainer.epochs": EPOCHS})
    submit(tasks, folder, Resources(time=minutes, gpus=0, requeues=1))
    run = folder.run(task.name)
    interrupt(slurm, run, "4700")
    waits(folder, tasks)
    until(lambda: not slurm.alive)
    assert slurm.requeues == ["4700"]
    record = read(folder.record_file(task.name))
    assert len(record.metrics) == EPOCHS
    # Continued, not made anew: it ends where the uninterrupted run ends, and was started twice.
    make(GridFolder(tmp_path / "other"), task.name, task.config)
    assert metrics(run) == metrics(GridFolder(tmp_path / "other").run(task.name))
    assert len(record.environment["sessions"]) == 1
    told = "\n".join(file.read_text() for file in (folder.path / "slurm").glob("*.err"))
    assert ("timed-out" in told) == timed_out


def test_a_run_that_may_not_be_queued_again_is_submitted_by_the_same_command(
    slurm: FakeSlurm, folder: GridFolder
) -> None:
    """The control of the test above: without a requeue nothing goes on by itself."""
    (task,) = tasks = work(0, **{"trainer.epochs": EPOCHS})
    asked = Resources(time=5, gpus=0, requeues=0)
    submit(tasks, folder, asked)
    interrupt(slurm, folder.run(task.name), "4700")
    until(lambda: not slurm.alive)
    assert slurm.requeues == []
    assert not folder.record_file(task.name).exists()
    done = len(metrics(folder.run(task.name)))
    assert done < EPOCHS
    standing = submit(tasks, folder, asked)
    assert (standing.states[task.name], standing.jobs[task.name]) == ("submitted", "4701")
    waits(folder, tasks)
    assert len(read(folder.record_file(task.name)).environment["sessions"]) == 1


def interrupt(slurm: FakeSlurm, run: Path, job: str) -> None:
    """Once some epochs are done."""
    lines = run / "metrics.jsonl"
    until(lambda: lines.exists() and lines.read_text().count("\n") >= 2)
    slurm.signal(job)
    until(lambda: slurm.requeues != [] or slurm.alive == [])
    assert not (run / "evaluation.json").exists()


def test_what_waits_or_runs_is_not_submitted_twice(slurm: FakeSlurm, folder: GridFolder) -> None:
    (slurm.root / "hold").touch()
    tasks = work(0, 1, 2)
    submit(tasks[:2], folder, Resources())
    (slurm.root / "alive" / "4700_1").write_text("RUNNING")
    standing = submit(tasks, folder, Resources())
    assert list(standing.states.values()) == ["waiting", "running", "submitted"]
    assert len(slurm.scripts) == 2
    # Cancelled, or lost with its machine: whoever is no longer alive and left no record is submitted again.
    (slurm.root / "alive" / "4700_0").unlink()
    standing = submit(tasks, folder, Resources())
    assert list(standing.states.values()) == ["submitted", "running", "waiting"]
    assert standing.jobs == {task.name: job for task, job in zip(tasks, ("4702", "4700_1", "4701"), strict=True)}
    assert json.loads(jobs_file(folder).read_text())[tasks[0].name]["job"] == "4702"


def test_a_living_job_of_other_settings_is_refused(slurm: FakeSlurm, folder: GridFolder) -> None:
    (slurm.root / "hold").touch()
    submit(work(0), folder, Resources())
    with pytest.raises(RunFolderError, match="other settings"):
        submit(work(0, **{"trainer.epochs": 2}), folder, Resources())
    assert len(slurm.scripts) == 1


def test_the_record_of_other_settings_is_refused(slurm: FakeSlurm, folder: GridFolder) -> None:
    (task,) = work(0)
    make(folder, task.name, task.config)
    (slurm.root / "hold").touch()
    with pytest.raises(RunFolderError, match="never replaced"):
        submit(work(0, 1, **{"trainer.epochs": 2}), folder, Resources())
    assert slurm.scripts == []
    # A damaged one is mended by the run's own process.
    folder.record_file(task.name).write_text("{")
    assert submit([task], folder, Resources()).states[task.name] == "submitted"


def test_what_failed_is_said_and_tried_again(slurm: FakeSlurm, folder: GridFolder) -> None:
    (task,) = tasks = work(0, **{"optimizer.learning_rate": 1e30, "optimizer.warmup_epochs": 0, "trainer.epochs": 4})
    submit(tasks, folder, Resources(gpus=0))
    until(lambda: not slurm.alive)
    (slurm.root / "hold").touch()
    standing = submit(tasks, folder, Resources(gpus=0))
    assert standing.states[task.name] == "submitted"
    assert "training diverged" in standing.failures[task.name]


def test_what_slurm_does_not_take_is_said(slurm: FakeSlurm, folder: GridFolder) -> None:
    (slurm.root / "refuse").touch()
    with pytest.raises(RunFolderError, match="invalid partition specified: nowhere"):
        submit(work(0, 1), folder, Resources(partition="nowhere"))
    assert not jobs_file(folder).exists()


def test_without_an_answer_nothing_is_submitted(slurm: FakeSlurm, folder: GridFolder) -> None:
    (slurm.root / "hold").touch()
    submit(work(0), folder, Resources())
    (slurm.root / "mute").touch()
    with pytest.raises(RunFolderError, match="Unable to contact slurm controller"):
        submit(work(0, 1), folder, Resources())
    assert len(slurm.scripts) == 1


@pytest.mark.parametrize("content", ["{", "[]", '{"run": {}}', '{"run": "4700"}', "3"])
def test_a_damaged_list_of_jobs_is_refused(content: str, slurm: FakeSlurm, folder: GridFolder) -> None:
    folder.path.mkdir()
    jobs_file(folder).write_text(content)
    with pytest.raises(RunFolderError, match="is damaged"):
        submit(work(0), folder, Resources())


def test_two_commands_do_not_submit_at_once(slurm: FakeSlurm, folder: GridFolder) -> None:
    with folder.lock("submission"), pytest.raises(RunFolderError, match="another command"):
        submit(work(0), folder, Resources())
    (slurm.root / "hold").touch()
    submit(work(0), folder, Resources())
    assert len(slurm.scripts) == 1


def test_without_slurm_or_submitit_it_is_said_what_is_missing(
    folder: GridFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="no SLURM here: sbatch, srun, squeue cannot be found"):
        submit(work(0), folder, Resources())
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'hssl\[slurm\]'"):
        submit(work(0), folder, Resources())


def test_submitits_own_executor_makes_a_run(folder: GridFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tasks = work(0)
    submit(tasks, folder, Resources(gpus=0), cluster="local")
    waits(folder, tasks)


# -- the command -----------------------------------------------------------------------------------------------------


def command(*words: str) -> list[str]:
    chosen = ["--datasets", "mnist", "--transformations", "translation", "--budget", "smoke"]
    return ["reproduce", "table1", *chosen, *words]


def test_the_command_submits_and_tells(
    slurm: FakeSlurm,
    tmp_path: Path,
    data_set: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: Any,
) -> None:
    monkeypatch.setenv("HSSL_DATA", str(data_set("mnist").parent))
    (slurm.root / "hold").touch()
    out = tmp_path / "out"
    words = command("--launcher", "slurm", "--slurm.partition", "big", "--slurm.time=1-0", "--jobs", "3")
    assert main([*words, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "5 runs: 5 submitted" in told
    assert f"hssl report {out}" in told
    (script,) = slurm.scripts
    assert "#SBATCH --partition=big\n" in script
    assert "#SBATCH --time=1440\n" in script
    assert "#SBATCH --array=0-4%3\n" in script
    (slurm.root / "alive" / "4700_2").write_text("RUNNING")
    assert main([*words, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "5 runs: 4 waiting, 1 running" in told
    assert "mnist-translation-frozen-smoke-seed0" in told
    assert len(slurm.scripts) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--slurm.partition", "big"), "--slurm.partition is for --launcher slurm"),
        (("--launcher", "slurm", "--slurm.partitions", "big"), "did you mean 'partition'?"),
        (("--launcher", "slurm", "--slurm.time", "soon"), "--slurm.time cannot be read"),
        (("--launcher", "slurm", "--slurm.time"), "'--slurm.time' has no value"),
        (("--launcher", "slum"), "invalid choice: 'slum'"),
    ],
)
def test_what_cannot_be_is_refused(
    words: tuple[str, ...], message: str, slurm: FakeSlurm, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command(*words), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert slurm.scripts == []
