"""A grid's runs as one array job of a SLURM cluster, through submitit: `hssl reproduce ... --launcher slurm`.

A run is submitted once: `jobs.json` in the grid's folder remembers its job, and while that waits or runs the same
command leaves it alone. The runs themselves are made as anywhere else, under their locks.
"""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import Timeout

from hssl.errors import ConfigurationError, DataError, RunFolderError
from hssl.extras import extra
from hssl.files import write_atomically
from hssl.runs.data_check import check_data
from hssl.runs.grid import Task
from hssl.runs.run import GridFolder
from hssl.runs.slurm_options import Resources
from hssl.runs.slurm_task import RunTask

State = Literal["done", "running", "waiting", "submitted"]


@dataclass(frozen=True)
class Standing:
    """How the runs of a grid stand after the missing ones were submitted.

    Attributes:
        states: by name.
        jobs: by name, the id of a run's job; of runs that are not done.
        failures: by name, what the last try of a run that was submitted anew died of.
    """

    states: Mapping[str, State]
    jobs: Mapping[str, str]
    failures: Mapping[str, str]

    @property
    def open(self) -> bool:
        """Whether runs are still to be made."""
        return any(state != "done" for state in self.states.values())


def submit(
    work: Sequence[Task],
    folder: GridFolder,
    asked: Resources,
    at_once: int | None = None,
    cluster: str = "slurm",
) -> Standing:
    """Submit the runs that are neither done nor submitted, as one array job, and tell how all of them stand.

    Args:
        work: the runs.
        folder: where they lie, on a file system that all machines of the cluster share.
        asked: what each run is given.
        at_once: how many of them may run at a time; None for as many as the cluster lets.
        cluster: submitit's name of it.

    Raises:
        ConfigurationError: no submitit, or no SLURM, here.
        RunFolderError: SLURM refuses, a run of other settings is there or being made, or another command is submitting
            into the folder; nothing has been submitted then.
        DataError: the data of a missing run is not there; nothing has been submitted then.
    """
    _check_tools(cluster)
    lock = folder.lock("submission")
    try:
        lock.acquire()
    except Timeout:
        raise RunFolderError(f"another command is submitting runs into {folder.path}", hint="wait for it") from None
    try:
        return _submit(work, folder, asked, at_once, cluster)
    finally:
        lock.release()


def jobs_file(folder: GridFolder) -> Path:
    """By run: its last job, the run's identity, and when it was submitted."""
    return folder.path / "jobs.json"


def _submit(work: Sequence[Task], folder: GridFolder, asked: Resources, at_once: int | None, cluster: str) -> Standing:
    kept = _kept(folder)
    states: dict[str, State] = {}
    for task in work:
        with suppress(DataError):  # damaged: the run's own process mends it
            if folder.record(task.name, task.config) is not None:
                states[task.name] = "done"
    begun = [task for task in work if task.name in kept and task.name not in states]
    living = _living() if cluster == "slurm" and begun else {}
    for task in begun:
        job = kept[task.name]
        if job["job"] not in living:
            continue
        if job.get("identity") != task.config.identity():
            raise RunFolderError(
                f"{task.name} is being made with other settings",
                got=f"job {job['job']}, submitted {job.get('submitted')}",
                hint=f"choose another folder with --out, or cancel it: scancel {job['job']}",
            )
        states[task.name] = living[job["job"]]
    missing = [task for task in work if task.name not in states]
    failures = {task.name: error for task in missing if (error := folder.failure(task.name)) is not None}
    if missing:
        check_data(task.config for task in missing)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        ids = _hand_over(missing, folder, asked, at_once, cluster)
        for task, job_id in zip(missing, ids, strict=True):
            kept[task.name] = {"job": job_id, "identity": task.config.identity(), "submitted": now}
            states[task.name] = "submitted"
        write_atomically(jobs_file(folder), json.dumps(kept, indent=1) + "\n")
    return Standing(
        {task.name: states[task.name] for task in work},
        {name: kept[name]["job"] for name, state in states.items() if state != "done"},
        failures,
    )


def _hand_over(
    missing: Sequence[Task], folder: GridFolder, asked: Resources, at_once: int | None, cluster: str
) -> list[str]:
    import submitit

    place = folder.path.absolute() / "slurm"
    executor = submitit.AutoExecutor(place, cluster=cluster, slurm_max_num_timeout=asked.requeues)
    executor.update_parameters(
        name="hssl",
        timeout_min=asked.time,
        gpus_per_node=asked.gpus or None,
        tasks_per_node=1,
        cpus_per_task=asked.cpus,
        mem_gb=asked.memory,
        slurm_partition=asked.partition,
        slurm_account=asked.account,
        slurm_qos=asked.qos,
        slurm_constraint=asked.constraint,
        slurm_setup=None if asked.setup is None else [asked.setup],
        slurm_array_parallelism=at_once,
        # Since SLURM 22.05 srun does not take this from the job any more: without it a run would have one core.
        slurm_srun_args=[f"--cpus-per-task={asked.cpus}"],
        # SLURM itself queues a run again whose node failed, or that was put out without a word.
        slurm_additional_parameters={"requeue": True},
    )
    try:
        with executor.batch():
            jobs = [executor.submit(RunTask(folder.path, task.name, task.config)) for task in missing]
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        raise RunFolderError(
            "SLURM did not take the job",
            got=str(error).strip() or "no word from sbatch",
            hint="change --slurm.partition, --slurm.time and the like; hssl reproduce --help lists them",
        ) from error
    return [job.job_id for job in jobs]


def _living() -> dict[str, State]:
    """The jobs of this user that wait or run, by id; of an array each task by its own."""
    command = ["squeue", "--user", getpass.getuser(), "--array", "--noheader", "--format", "%i|%T"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=120)
        error = told.stderr.strip() if told.returncode else None
    except (OSError, subprocess.TimeoutExpired) as failed:
        error = str(failed)
    if error is not None:
        raise RunFolderError(
            "SLURM does not say which jobs are alive, so nothing was submitted", got=error, hint="try again later"
        )
    pairs = (line.strip().partition("|") for line in told.stdout.splitlines() if "|" in line)
    return {job: "running" if state in ("RUNNING", "COMPLETING") else "waiting" for job, _, state in pairs}


def _kept(folder: GridFolder) -> dict[str, dict[str, Any]]:
    file = jobs_file(folder)
    try:
        content = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if all(isinstance(job["job"], str) for job in content.values()):
            return dict(content)
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    raise RunFolderError(
        f"{file} is damaged",
        expected="the jobs that were submitted",
        hint="delete it once no job of this grid is alive: squeue",
    )


def _check_tools(cluster: str) -> None:
    with extra("slurm"):
        import submitit  # noqa: F401
    lacking = [tool for tool in ("sbatch", "srun", "squeue") if shutil.which(tool) is None]
    if cluster == "slurm" and lacking:
        raise ConfigurationError(
            f"there is no SLURM here: {', '.join(lacking)} cannot be found",
            hint="run this on a login node of the cluster, or leave --launcher slurm out",
        )
