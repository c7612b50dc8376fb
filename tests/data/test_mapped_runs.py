"""Runs whose images lie in a file are the runs whose images lie in memory."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from hssl.training import engine
from hssl.training.engine import train
from hssl.training.evaluate import evaluate_run
from small_runs import Interrupted, StopAfter, checkpoint, metrics, same, tiny
from waiting import HANG_SECONDS


def _evaluation(folder: Path) -> dict[str, Any]:
    evaluation: dict[str, Any] = json.loads((folder / "evaluation.json").read_text())
    return {name: value for name, value in evaluation.items() if name not in ("wall_seconds", "joules")}


@pytest.mark.parametrize(("mode", "readout"), [("h-ssl", "alongside"), ("frozen", "afterwards")])
def test_a_run_from_a_file_is_the_run_from_memory(mode: str, readout: str, tmp_path: Path, cache: Path) -> None:
    def run(folder: Path, **changes: Any) -> Path:
        shared = {"data__normalize": "standardize", "evaluation__readout": readout, "evaluation__readout_epochs": 2}
        train(tiny(mode, **shared, **changes), folder)
        evaluate_run(folder)
        return folder

    memory = run(tmp_path / "memory", data__store="memory")
    # Compiled kernels may lie there; images, or anything else, may not.
    assert [found.name for found in cache.iterdir() if found.name != "kernels"] == []
    file = run(tmp_path / "mapped", data__store="mapped")
    assert len(list(cache.rglob("images.bin"))) == 2
    assert metrics(file) == metrics(memory)
    assert same(checkpoint(file)["state_dict"], checkpoint(memory)["state_dict"])
    assert _evaluation(file) == _evaluation(memory)
    assert (file / "data.json").read_bytes() == (memory / "data.json").read_bytes()
    # The control: what is compared does tell runs apart.
    other = run(tmp_path / "other", data__store="mapped", seed=1)
    assert not same(checkpoint(other)["state_dict"], checkpoint(memory)["state_dict"])
    assert _evaluation(other) != _evaluation(memory)


@pytest.mark.parametrize("stores", [("memory", "mapped"), ("mapped", "memory")])
def test_a_run_goes_on_whichever_way_its_images_are_held(
    tmp_path: Path, stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def doomed(*arguments: Any, **named: Any) -> L.Trainer:
        trainer = build(*arguments, **named)
        trainer.callbacks.insert(0, StopAfter(6))  # type: ignore[attr-defined]
        return trainer

    build = engine._trainer
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(tiny(data__store="memory"), whole)
    monkeypatch.setattr(engine, "_trainer", doomed)
    with pytest.raises(Interrupted):
        train(tiny(data__store=stores[0]), parts)
    monkeypatch.setattr(engine, "_trainer", build)
    assert len(metrics(parts)) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hssl-prefetch")]
    train(tiny(data__store=stores[1]), parts)
    assert metrics(parts) == metrics(whole)
    assert same(checkpoint(parts)["state_dict"], checkpoint(whole)["state_dict"])


def test_neither_an_epoch_nor_the_decoding_holds_the_images(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parent.parent / "memory_use.py"
    environment = os.environ | {"HSSL_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    # Hundreds of megabytes, which would be kept for days.
    shutil.rmtree(tmp_path)
    assert done.returncode == 0, done.stderr
    for what, peak in json.loads(done.stdout).items():
        # A tenth or two where the machine is idle; an allocator gives back later where it is not.
        assert peak["mapped"] < 0.6 * peak["size"], what
        # The control: the same measure finds the images where they are held.
        assert peak["memory"] > 0.95 * peak["size"], what
