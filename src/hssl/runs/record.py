"""The record of a run: one JSON file with everything that a table, a plot or a doubt needs. Imports no torch.

A record is collected from a run's folder, written once and read many times. The file carries a checksum, so that a
number changed by hand, or a file cut short, is found when it is read.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hssl.config import Config, parse
from hssl.errors import DataError, HsslError, RunFolderError
from hssl.files import write_atomically

FORMAT = "hssl run record"
VERSION = 1


class _Part(BaseModel):
    # Unknown fields stay: a record of a later version loses nothing when an earlier one reads and writes it.
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


class Measure(_Part):
    """One accuracy in percent under its protocol."""

    accuracy: float = Field(ge=0, le=100)
    protocol: str


class Equivariance(_Part):
    """The measured error by group element, against the bound of the group's exactness class."""

    group: str
    exactness: str = Field(alias="class")
    bound: float | None = None
    held: bool | None = None
    errors: dict[str, float | None]
    context: dict[str, float | None] = {}
    """What the errors are read against; 'element: figure' where one belongs to an element."""


class Evaluation(_Part):
    """A run's `evaluation.json`. Measures are None where the data has no labels."""

    identity: str
    complete: bool
    epoch: int = Field(ge=0)
    labels: bool = True
    readout: Measure | None = None
    linear_probe: Measure | None = None
    knn: Measure | None = None
    knn_raw: Measure | None = None
    """Nearest neighbours of features that are not standardised."""
    few_labels: Measure | None = None
    """The linear probe from a few labels a class."""
    label_free: dict[str, Any] | None = None
    """Effective rank, alignment, uniformity and neighbour agreement; None where there are too few images."""
    untrained: dict[str, Any] = {}
    """The same measures of the same network before training."""
    gain: dict[str, Any] | None = None
    """What training added; None for a frozen network."""
    equivariance: Equivariance | None = None
    equivariance_untrained: Equivariance | None = None
    """The same measurement of the same network at its first weights."""
    data: dict[str, Any] = {}
    wall_seconds: float | None = None
    joules: float | None = None
    """What evaluation drew; None where its device does not tell."""


class RunRecord(_Part):
    """One run: what was asked, where it ran, what it cost and what came out."""

    recipe: str
    dataset: str
    transformation: str
    backbone: str
    mode: str
    budget: str
    seed: int
    identity: str
    configuration: dict[str, Any]
    """The whole configuration; `data.root` is left out, since a place on one machine is no part of a result."""
    environment: dict[str, Any]
    """Versions, device, threads, git revision, date."""
    wall_seconds: float | None
    """Training, the sum over its epochs, and evaluation."""
    energy_joules: float | None = None
    """What the run's devices drew over the seconds of `wall_seconds`; None where one did not tell throughout."""
    evaluation: Evaluation
    metrics: tuple[dict[str, Any], ...]
    """One mapping an epoch (the first is 0), ascending: everything that was logged in it, the last value of each."""

    @property
    def device(self) -> str:
        return str(self.environment.get("device", "unknown device"))

    @property
    def device_hours(self) -> float | None:
        """Hours of training on each of its devices, or processes on a CPU, and of evaluation on one of them."""
        if self.wall_seconds is None:
            return None
        trainer = self.configuration["trainer"]
        evaluation = self.evaluation.wall_seconds or 0.0
        training = self.wall_seconds - evaluation
        return (training * int(trainer["devices"]) * int(trainer["nodes"]) + evaluation) / 3600


def collect(run_folder: Path) -> RunRecord:
    """The record of a run that was evaluated.

    Raises:
        RunFolderError: no run lies there, it was not evaluated yet, or its files do not belong together.
    """
    if not run_folder.is_dir():
        raise RunFolderError(f"there is no folder {run_folder}", hint="hssl train RECIPE --out DIR makes a run")
    config = _configuration(run_folder)
    evaluation = _json_file(run_folder, "evaluation.json", "hssl evaluate " + str(run_folder))
    environment = _json_file(run_folder, "environment.json", "train again; this file is written when a run starts")
    try:
        evaluated = Evaluation.model_validate(_finite(evaluation))
    except ValidationError as error:
        raise RunFolderError(
            f"{run_folder / 'evaluation.json'} is not the evaluation of a run",
            got=_first_problem(error),
            hint=f"hssl evaluate {run_folder}",
        ) from None
    if evaluated.identity != config.identity():
        raise RunFolderError(
            f"evaluation and configuration in {run_folder} are of different runs",
            got=f"{evaluated.identity} in evaluation.json, {config.identity()} from config.yaml",
            hint=f"hssl evaluate {run_folder}",
        )
    source, root = evaluated.data.get("source"), evaluated.data.get("root") or config.data.root
    if isinstance(root, str) and isinstance(source, str):
        nameless = {**evaluated.data, "source": source.replace(root, config.data.name)}
        nameless.pop("root", None)
        evaluated = evaluated.model_copy(update={"data": nameless})
    metrics = _metrics_by_epoch(run_folder / "metrics.jsonl")
    configuration = config.model_dump(mode="json")
    configuration["data"]["root"] = None
    return RunRecord(
        recipe=config.recipe,
        dataset=config.data.name,
        transformation=config.transformation,
        backbone=config.backbone.name,
        mode=config.mode,
        budget=config.budget,
        seed=config.seed,
        identity=config.identity(),
        configuration=configuration,
        environment=_finite(environment),
        wall_seconds=_wall_seconds(metrics, evaluated),
        energy_joules=_energy_joules(metrics, evaluated),
        evaluation=evaluated,
        metrics=metrics,
    )


def write(record: RunRecord, path: Path) -> None:
    """Writes a record in one step: a reader, or a crash, sees the whole file or none.

    Raises:
        RunFolderError: another run's record lies there.
    """
    content = record.model_dump(mode="json", by_alias=True)
    if path.exists() and (there := read(path)).identity != record.identity:
        raise RunFolderError(
            f"{path} holds the record of another run",
            got=f"{record.recipe}, seed {record.seed}, identity {record.identity}",
            expected=f"{there.recipe}, seed {there.seed}, identity {there.identity}",
            hint="choose another file",
        )
    envelope = {"format": FORMAT, "version": VERSION, "checksum": _checksum(content), "record": content}
    write_atomically(path, json.dumps(envelope, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read(path: Path) -> RunRecord:
    """A record from its file, checked.

    Raises:
        DataError: the file is missing, cut short, of another format or version, or was changed after it was written.
    """
    try:
        envelope = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"the record {path} cannot be read", got=error.strerror) from None
    except ValueError as error:
        raise DataError(
            f"the record {path} is cut short or no JSON",
            got=str(error),
            hint="collect it again from its run's folder",
        ) from None
    if (
        not isinstance(envelope, dict)
        or envelope.get("format") != FORMAT
        or not isinstance(envelope.get("record"), dict)
    ):
        raise DataError(f"{path} is not the record of a run", expected=f'a JSON file with "format": "{FORMAT}"')
    if envelope.get("version") != VERSION:
        raise DataError(
            f"the record {path} is of another version",
            got=f"version {envelope.get('version')}",
            expected=f"{VERSION}",
        )
    if envelope.get("checksum") != _checksum(envelope["record"]):
        raise DataError(
            f"the record {path} was changed after it was written",
            got="a checksum that does not fit the content",
            hint="collect it again from its run's folder",
        )
    try:
        record = RunRecord.model_validate(envelope["record"])
    except ValidationError as error:
        raise DataError(f"the record {path} does not hold", got=_first_problem(error)) from None
    try:
        identity = parse(record.configuration).identity()
    except HsslError:  # of a later version
        return record
    if identity != record.identity:
        raise DataError(
            f"the record {path} was changed after it was written",
            got="a configuration that is not the one that its identity is of",
            hint="collect it again from its run's folder",
        )
    return record


def read_all(folder: Path) -> list[RunRecord]:
    """Every record (`*.json`) of a folder and the folders in it, in the order of their paths.

    Raises:
        DataError: there is none, or one of them does not hold.
    """
    paths = sorted(folder.rglob("*.json")) if folder.is_dir() else []
    if not paths:
        raise DataError(f"there are no records in {folder}", expected="a folder with one JSON file a run")
    return [read(path) for path in paths]


def _configuration(run_folder: Path) -> Config:
    path = run_folder / "config.yaml"
    if not path.is_file():
        raise RunFolderError(
            f"{run_folder} is not the folder of a run",
            got="no config.yaml",
            hint="hssl train RECIPE --out DIR makes one",
        )
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} cannot be read", got=str(error).splitlines()[0]) from None
    if not isinstance(tree, Mapping):
        raise RunFolderError(f"{path} holds no configuration", got=type(tree).__name__, expected="a mapping of fields")
    return parse(tree)


def _json_file(run_folder: Path, name: str, hint: str) -> dict[str, Any]:
    path = run_folder / name
    if not path.is_file():
        raise RunFolderError(f"{run_folder} has no {name}", hint=hint)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunFolderError(f"{path} is cut short or no JSON", got=str(error), hint=hint) from None
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} holds no mapping", got=type(content).__name__, hint=hint)
    return content


def _metrics_by_epoch(path: Path) -> tuple[dict[str, Any], ...]:
    """Lines of one epoch joined; a resumed run repeats epochs, and the later line is the one that counts."""
    if not path.is_file():
        return ()
    epochs: dict[int, dict[str, Any]] = {}
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            entry = _finite(json.loads(line))
            epoch = int(entry["epoch"])
        except (ValueError, KeyError, TypeError, AttributeError):
            if number == len(lines):  # a run killed while it wrote
                break
            raise RunFolderError(
                f"line {number} of {path} cannot be read",
                got=line[:80],
                expected="one JSON object with 'epoch' a line",
            ) from None
        epochs[epoch] = epochs.get(epoch, {}) | entry
    return tuple(epochs[epoch] for epoch in sorted(epochs))


def _wall_seconds(metrics: tuple[dict[str, Any], ...], evaluation: Evaluation) -> float | None:
    parts = [entry.get("seconds") for entry in metrics] + [evaluation.wall_seconds]
    known = [float(part) for part in parts if part is not None]
    return sum(known) if known else None


def _energy_joules(metrics: tuple[dict[str, Any], ...], evaluation: Evaluation) -> float | None:
    """The sum of the parts. A part that nobody measured would make it too small: then there is none."""
    parts = [entry.get("joules") for entry in metrics] + [evaluation.joules]
    known = [float(part) for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: a value that diverged becomes null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()


def _first_problem(error: ValidationError) -> str:
    item = error.errors()[0]
    return f"'{'.'.join(map(str, item['loc']))}': {item['msg']}"
