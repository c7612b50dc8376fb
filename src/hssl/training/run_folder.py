"""A run's folder: always the same tree, one run in it, and nothing in it overwritten by another.

config.yaml, data.json, environment.json, metrics.jsonl, log.txt, checkpoints/last.ckpt, evaluation.json, tensorboard/,
and run.lock, which a process holds while it trains (`run_lock`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from hssl.config import Config, differences, parse
from hssl.errors import HsslError, RunFolderError
from hssl.files import append_line, remove_leftovers, write_atomically
from hssl.training.run_lock import locked


class RunFolder:
    """The files of one run below `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.data_file = path / "data.json"
        self.environment_file = path / "environment.json"
        self.metrics_file = path / "metrics.jsonl"
        self.log_file = path / "log.txt"
        self.checkpoints = path / "checkpoints"
        self.last_checkpoint = self.checkpoints / "last.ckpt"
        self.evaluation_file = path / "evaluation.json"
        self.lock_file = path / "run.lock"

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Holds the folder, which is made where it is missing, against every other training; yields whether it could.

        What killed writers have left half-written is gone then. Of evaluations, which need no lock, it stays.

        Raises:
            RunInUseError: another process is training into it.
            RunFolderError: it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"{self.path} cannot be created: {error.strerror}", hint="choose another --out"
            ) from error
        with locked(self.lock_file) as alone:
            remove_leftovers(self.checkpoints)
            for file in (self.config_file, self.data_file, self.environment_file, self.metrics_file):
                remove_leftovers(self.path, file.name)
            yield alone

    def recognise(self, config: Config) -> bool:
        """Whether the folder is this run's already; not where it is new or empty. Nothing is touched.

        Raises:
            RunFolderError: the folder holds another run (the difference is shown) or foreign files.
        """
        try:
            str(self.path).encode()
        except UnicodeEncodeError as error:
            raise RunFolderError(
                "the output folder's name is not in UTF-8, which TensorBoard's files cannot do without",
                got=self.path,
                hint="choose another --out",
            ) from error
        if self.path.exists() and not self.path.is_dir():
            raise RunFolderError("the output folder is a file", got=self.path, hint="choose another --out")
        if self.config_file.exists():
            there = self.config()
            if there.identity() != config.identity():
                lines = "\n    ".join(differences(there, config))
                raise RunFolderError(
                    f"{self.path} holds another run; nothing was changed. The configurations differ in\n    {lines}",
                    hint="choose another --out, or repeat that run's configuration to continue it",
                )
            return True
        names = sorted(entry.name for entry in self.path.iterdir()) if self.path.exists() else []
        # A kill while the folder was being made leaves no more than this.
        made = (self.lock_file.name, f".{self.config_file.name}.")
        foreign = [name for name in names if not name.startswith(made)]
        if foreign:
            raise RunFolderError(
                f"{self.path} is not empty and holds no run",
                got=", ".join(foreign[:5]) + (", ..." if len(foreign) > 5 else ""),
                expected="a new or empty folder, or the folder of the same run",
                hint="choose another --out",
            )
        return False

    def claim(self, config: Config) -> None:
        """Make the folder this run's, or recognise it as this run's already.

        Raises:
            RunFolderError: as `recognise`, or the folder cannot be made.
        """
        known = self.recognise(config)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not known:
                # First of all: it is what the folder is recognised by.
                write_atomically(self.config_file, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
            self.checkpoints.mkdir(exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"{self.path} cannot be created: {error.strerror}", hint="choose another --out"
            ) from error

    def config(self) -> Config:
        """The configuration of the run that lies here.

        Raises:
            RunFolderError: there is no run, or its configuration cannot be read.
        """
        if not self.config_file.is_file():
            raise RunFolderError(
                f"{self.path} is not the folder of a run",
                got="no config.yaml in it" if self.path.is_dir() else "no such folder",
                hint="give the folder that was --out of hssl train",
            )
        try:
            tree = yaml.safe_load(self.config_file.read_text(encoding="utf-8"))
            if not isinstance(tree, Mapping):
                raise RunFolderError(f"{self.config_file} does not hold a configuration")
            return parse(tree)
        except (yaml.YAMLError, UnicodeDecodeError, HsslError) as error:
            raise RunFolderError(
                f"{self.config_file} cannot be read as a run's configuration", got=str(error)
            ) from error

    def claim_data(self, summary: Mapping[str, Any]) -> None:
        """Keep what the run is trained on, or recognise it as that.

        Args:
            summary: `DataSets.summary()`.

        Raises:
            RunFolderError: as `check_data`.
        """
        if self.data_file.exists():
            self.check_data(summary)
        else:
            self.write_json(self.data_file, summary)

    def check_data(self, summary: Mapping[str, Any]) -> None:
        """Recognise data as the run's own, wherever it lies. A folder that keeps no word on its data takes any.

        Raises:
            RunFolderError: it is other data (the difference is shown), or `data.json` cannot be read.
        """
        if not self.data_file.exists():
            return
        try:
            kept = json.loads(self.data_file.read_text(encoding="utf-8"))
            same = kept["fingerprint"] == summary["fingerprint"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{self.data_file} is damaged",
                expected="what a run's folder keeps of its data",
                hint="delete it if the data is surely the run's own; it is written again when the run continues",
            ) from error
        if same:
            return
        lines = [
            f"{name.replace('_', ' ')}: {_shown(kept.get(name))} there, {_shown(summary[name])} here"
            for name in summary
            if name not in ("source", "fingerprint") and kept.get(name) != summary[name]
        ]
        raise RunFolderError(
            f"the run in {self.path} was trained on other data; nothing was changed. The data differs in\n    "
            + "\n    ".join(lines or ["pixels or labels of the images; their numbers and classes are the same"]),
            got=summary["source"],
            expected=kept.get("source"),
            hint="point --data.root at the data of the run, or train a new run in another --out",
        )

    def note_environment(self, environment: Mapping[str, Any]) -> None:
        """Keep what the run started on; what it was continued on is added below 'sessions', in order."""
        try:
            kept = json.loads(self.environment_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            kept = None
        if isinstance(kept, dict):
            environment = {**kept, "sessions": [*kept.get("sessions", []), environment]}
        self.write_json(self.environment_file, environment)

    def trim_metrics(self, epochs: int) -> None:
        """Forget the lines of epochs that the checkpoint does not know of: they are trained, and written, again."""
        if not self.metrics_file.exists():
            return
        kept = [line for line in self.metrics_file.read_text(encoding="utf-8").splitlines() if _epoch(line) < epochs]
        write_atomically(self.metrics_file, "".join(line + "\n" for line in kept))

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one line to `metrics.jsonl`."""
        append_line(self.metrics_file, json.dumps(line, allow_nan=False))

    def append_log(self, line: str) -> None:
        """Add one line with the time to `log.txt`."""
        append_line(self.log_file, f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}")

    def last_metrics(self) -> dict[str, Any]:
        """The last line of the metrics; empty where there is none."""
        lines = self.metrics_file.read_text(encoding="utf-8").splitlines() if self.metrics_file.exists() else []
        whole = [line for line in lines if _epoch(line) < float("inf")]
        return dict(json.loads(whole[-1])) if whole else {}

    def evaluation(self) -> dict[str, Any] | None:
        """What `evaluation.json` holds of this run at its end; None where it was not measured, or not since then."""
        try:
            found = json.loads(self.evaluation_file.read_text(encoding="utf-8"))
            of_this_run = found["complete"] and found["identity"] == self.config().identity()
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if of_this_run else None

    def write_json(self, file: Path, tree: Mapping[str, Any]) -> None:
        """Write plain data at once or not at all."""
        write_atomically(file, json.dumps(tree, indent=2, allow_nan=False) + "\n")


def _shown(value: Any) -> str:
    """A value of `data.json` for people: of the names of the classes their number and the first few."""
    if not isinstance(value, list):
        return "none" if value is None else str(value)
    return f"{len(value)} classes" + (f" ({', '.join(value[:3])}{', ...' if len(value) > 3 else ''})" if value else "")


def _epoch(line: str) -> float:
    # A line cut off by a kill belongs to an epoch that no checkpoint holds.
    try:
        return float(json.loads(line)["epoch"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return float("inf")
