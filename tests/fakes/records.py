"""Records of runs that never took place, for tests of what is made from records."""

import json
import math
import random
from pathlib import Path
from typing import Any

import yaml

from hssl.config import MODES, Config, Mode, Transformation, override, override_where
from hssl.runs.record import RunRecord, collect

LEVEL = {"a-ssl": 92.0, "h-ssl": 91.5, "hybrid": 92.5, "frozen": 85.0, "supervised": 97.5}
UNTRAINED = {"readout": 0, "linear_probe": 3, "knn": 5, "few_labels": 10}
"""Points that random weights are below the readout of the frozen, by measure."""
ELEMENTS = {
    "rotation": ("0°", "90°", "180°", "270°"),
    "translation": ("(0, 0)", "(0, 4)", "(4, 0)", "(4, 4)", "(8, 8)"),
    "scale": ("1.00", "1.25", "1.33", "1.50", "1.66", "1.75"),
}


def configuration(
    transformation: Transformation = "translation", mode: Mode = "h-ssl", seed: int = 0, **changes: Any
) -> Config:
    """A configuration of a small run on MNIST; `changes` are dotted names with `__` for the dot."""
    base = override(Config(seed=seed), {"group.name": f"{transformation}s", **MODES[mode]})
    base = base.model_copy(update={"recipe": f"mnist-{transformation}-{mode.replace('-', '')}"})
    settings = {
        "budget": "quick",
        "data.name": "mnist",
        "data.root": "/somewhere/on/one/machine",
        "data.train_images": 5000,
        "trainer.epochs": 12,
        "trainer.batch_size": 256,
        "optimizer.learning_rate": 0.3,
        "backbone.width": 0.5,
    }
    return override_where(base, settings | {name.replace("__", "."): value for name, value in changes.items()})


def write_run(folder: Path, config: Config, *, labels: bool = True, accuracy: float | None = None) -> Path:
    """A run's folder as training and evaluation leave it; its numbers depend on the configuration alone."""
    chance = random.Random(config.identity())
    level = LEVEL[config.mode] + chance.gauss(0, 0.6) if accuracy is None else accuracy
    measure = {"accuracy": level, "protocol": "readout of the paper, last epoch"} if labels else None
    probe = {"accuracy": max(0.0, level - 3), "protocol": "logistic regression"} if labels else None
    neighbours = {"accuracy": max(0.0, level - 5), "protocol": "20 nearest neighbours"} if labels else None
    few = (
        {"accuracy": max(0.0, level - 10), "protocol": "logistic regression from 10 labels a class"} if labels else None
    )
    weights = random.Random(f"weights {config.seed}")
    first = {measure: LEVEL["frozen"] - less + weights.gauss(0, 0.6) for measure, less in UNTRAINED.items()}
    figures = {
        "effective_rank": 12.5,
        "alignment": 0.4,
        "uniformity": -2.1,
        "neighbour_agreement": 0.6,
    }
    untrained: dict[str, Any] = {
        measure: {"accuracy": accuracy, "protocol": "as after training"} for measure, accuracy in first.items()
    }
    error = 1e-6 if config.transformation == "rotation" else 3e-2
    structured = config.backbone.name not in ("mlp", "cnn-three-layer", "cnn-resnet20")
    errors = {
        name: 0.0 if position == 0 else error * chance.uniform(0.5, 2) * (1 if structured else 30)
        for position, name in enumerate(ELEMENTS[config.transformation])
    }
    evaluation = {
        "recipe": config.recipe,
        "mode": config.mode,
        "transformation": config.transformation,
        "seed": config.seed,
        "identity": config.identity(),
        "epoch": config.trainer.epochs,
        "complete": True,
        "labels": labels,
        "readout": measure,
        "linear_probe": probe,
        "knn": neighbours,
        "few_labels": few,
        "untrained": {**(untrained if labels else {}), "label_free": figures},
        "label_free": {name: 1.5 * value for name, value in figures.items()},
        "equivariance": {
            "group": f"{config.transformation}s",
            "class": "exact" if config.transformation == "rotation" else "approximate",
            "bound": 1e-5 if config.transformation == "rotation" else None,
            "held": True if config.transformation == "rotation" else None,
            "errors": errors,
        },
        "data": {"source": "MNIST, IDX files", "train_images": 5000, "test_images": 10000},
        "wall_seconds": chance.uniform(80, 200),
    }
    environment = {
        "hssl": "0.1.0", "torch": "2.13.0", "lightning": "2.6.0", "python": "3.11.2", "device": "cpu (some processor)",
        "threads": 2, "git": "0123456789ab", "date": f"2024-05-{1 + config.seed:02d}T12:00:00+00:00",
    }  # fmt: skip
    lines = []
    for epoch in range(config.trainer.epochs):
        entry: dict[str, Any] = {"epoch": epoch, "step": (epoch + 1) * 20, "images_per_second": 900.0, "seconds": 9.0}
        # As the training logs it: contrastive loss, or the cross-entropy of the readout.
        floor = 0.2 if config.mode in ("frozen", "supervised") else 4
        entry["train/loss"] = floor + 2 * math.exp(-epoch / 4) + chance.gauss(0, 0.05)
        if labels:
            entry["train/accuracy"] = level * (1 - 0.7 * math.exp(-epoch / 3)) + chance.gauss(0, 0.5)
        lines.append(json.dumps(entry))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    (folder / "environment.json").write_text(json.dumps(environment))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def record(folder: Path, config: Config, *, labels: bool = True, accuracy: float | None = None) -> RunRecord:
    """The record of such a run; each configuration has a folder of its own below `folder`."""
    return collect(write_run(folder / config.identity(), config, labels=labels, accuracy=accuracy))


def comparison(folder: Path, seeds: int = 3) -> list[RunRecord]:
    """A whole comparison: three transformations and the control without structure, four modes; scale has one seed."""
    modes: tuple[Mode, ...] = ("a-ssl", "h-ssl", "frozen", "supervised")
    configs = [
        configuration(transformation, mode, seed)
        for transformation in ("rotation", "translation")
        for mode in modes
        for seed in range(seeds)
    ]
    configs += [configuration("scale", mode, trainer__epochs=6) for mode in modes]
    configs += [configuration("translation", mode, backbone__name="mlp") for mode in modes]
    return [record(folder, config) for config in configs]
