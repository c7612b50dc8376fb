"""Runs of well under a second: 64 digits at 13 pixels, three epochs of four steps. As a script: one to be killed."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image

from hssl.config import MODES, Config, Mode, Transformation, override, override_where
from hssl.paper.recipes import recipe
from hssl.training.checkpoint import load_checkpoint
from hssl.training.module import SSLModule

SELF_SUPERVISED: tuple[Mode, ...] = ("a-ssl", "h-ssl", "hybrid")
TIMES = ("seconds", "images_per_second", "joules")
TINY = {
    "data.resolution": 13,
    "data.resize_to": 12,
    "data.train_images": 64,
    "data.test_images": 37,
    "trainer.batch_size": 16,
    "trainer.epochs": 3,
    "trainer.accelerator": "cpu",
    "trainer.precision": "32",
    "backbone.width": 1 / 8,
    "evaluation.readout": "alongside",
    "views.streams": "all",
}

# As recipes of the small budgets have it: only the streams that are read, and no readout beside.
SAMPLED = {"views__streams": "sampled", "evaluation__readout": "afterwards"}


def tiny(mode: Mode = "h-ssl", transformation: Transformation = "rotation", **changes: Any) -> Config:
    """A tiny run; fields by dotted name with '__' for the dot, where its parts have them."""
    fields = {name.replace("__", "."): value for name, value in changes.items()}
    start = recipe(f"digits-{transformation}-hssl", "smoke")
    return override_where(
        override(start, MODES[mode]), TINY | {"views.max_distance": None, "views.base_size": 1} | fields
    )


def labelled_module(config: Config) -> SSLModule:
    """The module of a digits run, outside of any trainer."""
    return SSLModule(config, 1, 10)


class StopAfter(Callback):
    """Ends a run in the middle of an epoch, by an exception or by the kernel."""

    def __init__(self, steps: int, by: str = "exception") -> None:
        self.steps, self.by = steps, by

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.steps:
            if self.by == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise Interrupted


class Interrupted(Exception):
    """Stands for whatever ends a run: a reboot, a lost machine."""


def metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl without what the clock decides."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def checkpoint(folder: Path) -> dict[str, Any]:
    return load_checkpoint(folder / "checkpoints" / "last.ckpt")


def same(left: Any, right: Any) -> bool:
    """Equality bit for bit through nested containers."""
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))
    return bool(left == right)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder: time of change and content. Not the lock's, which tells who took it last."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "run.lock"]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def write_images(folder: Path, count: int, size: int = 13, classes: int = 0) -> Path:
    """A folder of random PNG images, with a sub-folder for each class or none."""
    generator = torch.Generator().manual_seed(0)
    for index in range(count):
        pixels = torch.randint(0, 256, (size, size), generator=generator, dtype=torch.uint8).numpy()
        place = folder / f"class{index % classes}" if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / f"{index:03d}.png")
    return folder


if __name__ == "__main__":
    # small_runs.py MODE FOLDER STEPS: train until the kill.
    from hssl.training import engine

    torch.set_num_threads(1)
    build = engine._trainer

    def doomed(*arguments: Any, **named: Any) -> L.Trainer:
        trainer = build(*arguments, **named)
        trainer.callbacks.insert(0, StopAfter(int(sys.argv[3]), "kill"))  # type: ignore[attr-defined]
        return trainer

    engine._trainer = doomed
    engine.train(tiny(sys.argv[1]), Path(sys.argv[2]))
