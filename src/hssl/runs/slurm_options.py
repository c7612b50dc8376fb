"""What a run is given on a SLURM cluster, and how that is written on the command line. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hssl.config import Config
from hssl.errors import ConfigurationError, nearest


@dataclass(frozen=True)
class Resources:
    """What each run is given on the cluster. Fields without a value are left to the cluster.

    Attributes:
        partition, account, qos, constraint: as sbatch has them.
        time: minutes until the run is queued again, to go on from its checkpoint.
        gpus: for each run.
        cpus: cores for each run.
        memory: gigabytes for each run.
        setup: a line of shell before the run, such as 'module load cuda'.
        requeues: how often a run may use up its time.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    time: int = 240
    gpus: int = 1
    cpus: int = 4
    memory: float | None = None
    setup: str | None = None
    requeues: int = 100


OPTIONS: Mapping[str, str] = {
    "partition": "a partition",
    "account": "who is charged",
    "qos": "a quality of service",
    "constraint": "a feature of nodes",
    "time": "minutes, H:MM:SS or D-H:MM:SS (default: 4:00:00)",
    "gpus": "for each run (default: 1, or 0 for runs on cpu)",
    "cpus": "cores for each run (default: 4)",
    "memory": "gigabytes for each run",
    "setup": "a line of shell before it, such as 'module load cuda'",
    "requeues": "how often it may use up its time (default: 100)",
}


def resources(words: Mapping[str, str], configs: Sequence[Config]) -> Resources:
    """What was asked for, and the rest from the runs themselves.

    Args:
        words: by option, without 'slurm.'.
        configs: the runs.

    Raises:
        ConfigurationError: an option that there is not, or a value that cannot be read.
    """
    for name in words:
        if name not in OPTIONS:
            raise ConfigurationError(f"there is no option '--slurm.{name}'", hint=nearest(name, OPTIONS))
    on_cpus = bool(configs) and all(config.trainer.accelerator == "cpu" for config in configs)
    found = Resources(gpus=0 if on_cpus else 1)
    for name, word in words.items():
        found = replace(found, **{name: _read(name, word)})
    return found


def _read(name: str, word: str) -> Any:
    if name == "time":
        return _minutes(word)
    if name == "memory":
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:GB?)?", word, re.IGNORECASE)
        if match is None or not float(match[1]):
            raise ConfigurationError("--slurm.memory cannot be read", got=word, expected="gigabytes, such as 32")
        return float(match[1])
    if name in ("gpus", "cpus", "requeues"):
        least = 1 if name == "cpus" else 0
        if not word.isdecimal() or int(word) < least:
            raise ConfigurationError(
                f"--slurm.{name} cannot be read", got=word, expected=f"a whole number of at least {least}"
            )
        return int(word)
    return word


def _minutes(word: str) -> int:
    """SLURM's own ways to write a time, rounded up to minutes."""
    match = re.fullmatch(r"(?:(?P<days>\d+)-)?(?P<rest>\d+(?::\d+){0,2})", word)
    if match is not None:
        parts = [int(part) for part in match["rest"].split(":")]
        if match["days"] is not None:  # D-H, D-H:M, D-H:M:S
            hours, minutes, seconds = (*parts, 0, 0)[:3]
        else:  # M, M:S, H:M:S
            hours, minutes, seconds = (0, *parts, 0)[:3] if len(parts) < 3 else parts
        total = int(match["days"] or 0) * 1440 + hours * 60 + minutes + -(-seconds // 60)
        if total:
            return total
    raise ConfigurationError(
        "--slurm.time cannot be read", got=word, expected="minutes, H:MM:SS or D-H:MM:SS, such as 12:00:00"
    )
