"""A cluster of one machine that stands in for SLURM: sbatch, srun, squeue and scontrol as scripts on PATH.

Jobs run one after the other in a process of their own. As SLURM does, a requeued job keeps its id and runs its script
again, and signals go to every process of a task, but not to the shell around it.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

_SBATCH = """
import os, pathlib, re, subprocess, sys
root = pathlib.Path(os.environ["FAKE_SLURM"])
if (root / "refuse").exists():
    sys.exit("sbatch: error: invalid partition specified: nowhere")
script = pathlib.Path(sys.argv[1]).read_text()
job = str(4700 + len(list(root.glob("*.sh"))))
(root / f"{job}.sh").write_text(script)
array = re.search("--array=0-([0-9]+)%", script)
tasks = [f"{job}_{index}" for index in range(int(array[1]) + 1)] if array else [job]
for task in tasks:
    (root / "alive" / task).write_text("PENDING")
if not (root / "hold").exists():
    words = [sys.executable, str(root / "bin" / "supervise"), job, *tasks]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(words, start_new_session=True, **quiet)
print(f"Submitted batch job {job}")
"""
_SUPERVISE = """
import os, pathlib, subprocess, sys
root, job, tasks = pathlib.Path(os.environ["FAKE_SLURM"]), sys.argv[1], sys.argv[2:]
for task in tasks:
    # Several tasks, so that whoever takes them for the processes of a run finds too many.
    env = dict(os.environ, SLURM_JOB_ID=job, SLURM_PROCID="0", SLURM_NTASKS="3", SLURM_NTASKS_PER_NODE="3")
    env["SLURM_JOB_NAME"] = "hssl"
    if "_" in task:
        env.update(SLURM_ARRAY_JOB_ID=job, SLURM_ARRAY_TASK_ID=task.split("_")[1])
    while True:
        (root / "alive" / task).write_text("RUNNING")
        subprocess.run(["bash", str(root / f"{job}.sh")], env=env)
        try:
            (root / "requeued" / task).unlink()
        except FileNotFoundError:
            break
    (root / "alive" / task).unlink()
"""
_SRUN = """
import os, pathlib, sys
root, words = pathlib.Path(os.environ["FAKE_SLURM"]), sys.argv[1:]
task = os.environ["SLURM_JOB_ID"]
if "SLURM_ARRAY_TASK_ID" in os.environ:
    task += "_" + os.environ["SLURM_ARRAY_TASK_ID"]
while words[0].startswith("-"):
    name = words.pop(0)
    if name in ("--output", "--error"):
        file = words.pop(0).replace("%A_%a", task).replace("%j", task).replace("%t", "0")
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1 if name == "--output" else 2)
os.setsid()
(root / "groups" / task).write_text(str(os.getpid()))
os.execvp(words[0], words)
"""
_SQUEUE = """
import os, pathlib, sys
root = pathlib.Path(os.environ["FAKE_SLURM"])
if (root / "mute").exists():
    sys.exit("slurm_load_jobs error: Unable to contact slurm controller")
assert "--array" in sys.argv and "--noheader" in sys.argv
for file in sorted((root / "alive").iterdir()):
    print(sys.argv[sys.argv.index("--format") + 1].replace("%i", file.name).replace("%T", file.read_text()))
"""
_SCONTROL = """
import os, pathlib, sys
assert sys.argv[1] == "requeue"
root = pathlib.Path(os.environ["FAKE_SLURM"])
(root / "requeued" / sys.argv[2]).touch()
with open(root / "requeues.txt", "a") as file:
    file.write(sys.argv[2] + "\\n")
"""


class FakeSlurm:
    """The cluster below `root`; its programs lie in `root/bin`.

    Files steer it: with `hold` jobs wait for ever, with `refuse` sbatch takes none, with `mute` squeue does not answer.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("bin", "alive", "groups", "requeued"):
            (root / name).mkdir(parents=True)
        programs = {"sbatch": _SBATCH, "srun": _SRUN, "squeue": _SQUEUE, "scontrol": _SCONTROL, "supervise": _SUPERVISE}
        for name, text in programs.items():
            (root / "bin" / name).write_text(f"#!{sys.executable}\n{text}")
            (root / "bin" / name).chmod(0o755)

    @property
    def scripts(self) -> list[str]:
        """What sbatch was given, in order."""
        return [file.read_text() for file in sorted(self.root.glob("*.sh"))]

    @property
    def alive(self) -> list[str]:
        """Jobs that wait or run."""
        return sorted(file.name for file in (self.root / "alive").iterdir())

    @property
    def requeues(self) -> list[str]:
        """Jobs, once for each time they were queued again."""
        file = self.root / "requeues.txt"
        return file.read_text().split() if file.exists() else []

    def signal(self, task: str, number: int = signal.SIGUSR2) -> None:
        """To every process of a task."""
        os.killpg(int((self.root / "groups" / task).read_text()), number)

    def stop(self) -> None:
        """Kill whatever runs still."""
        (self.root / "mute").touch()
        while started := [task for task in self.alive if (self.root / "groups" / task).exists()]:
            for task in started:
                with contextlib.suppress(ProcessLookupError):
                    self.signal(task, signal.SIGKILL)
            time.sleep(0.1)
