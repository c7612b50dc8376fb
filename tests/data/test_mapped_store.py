import dataclasses
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from hssl.data import ImageStore, MappedStore, mapped
from hssl.data.mapped_file import MappedFile
from hssl.data.statistics import channel_statistics
from hssl.errors import DataError
from hssl.training import engine
from hssl.training.engine import train
from hssl.training.evaluate import evaluate_run
from small_runs import Interrupted, StopAfter, checkpoint, metrics, same, tiny


def _memory(channels: int = 3, count: int = 23, labels: bool = True) -> ImageStore:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, channels, 7, 7), dtype=torch.uint8, generator=generator)
    names = ("a", "b") if labels else ()
    return ImageStore(images, torch.arange(count) % 2 if labels else None, *channel_statistics(images), names)


CHOICES = {
    "in order": [3, 4, 5],
    "backwards": [20, 11, 2],
    "mixed": [5, 1, 22, 0, 7, 6],
    "repeated": [4, 9, 4, 0, 9, 4],
    "one": [8],
    "none": [],
    "all": list(range(23)),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_batches_are_those_from_memory_bit_for_bit(choice: str, dtype: torch.dtype, device: torch.device) -> None:
    store = _memory().to(device)
    file = mapped(_memory()).to(device)
    indices = torch.tensor(CHOICES[choice], dtype=torch.int64, device=device)
    expected = store.batch(indices, dtype)
    batch = file.batch(indices, dtype)
    assert torch.equal(batch, expected)
    assert (batch.dtype, batch.device.type, batch.stride()) == (dtype, device.type, expected.stride())
    assert torch.equal(file.batch(indices.cpu(), dtype), expected)
    # The control: one grey level in one pixel of one of these images.
    if len(indices):
        images = _memory().images
        images[CHOICES[choice][0], 0, 0, 0] ^= 1
        assert not torch.equal(mapped(dataclasses.replace(_memory(), images=images)).batch(indices, dtype), expected)


def test_pixels_and_pieces_are_those_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    store, file = _memory(), mapped(_memory())
    indices = torch.tensor([5, 1, 22])
    assert torch.equal(file.pixels(indices), store.pixels(indices))
    monkeypatch.setattr("hssl.data.store._BYTES_AT_ONCE", 4 * 3 * 49)
    assert [len(piece) for piece in file.pieces()] == [4, 4, 4, 4, 4, 3]
    assert torch.equal(torch.cat(list(file.pieces())), store.images)


def test_rows_are_read_in_the_order_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    original = MappedFile.take

    def noted(self: MappedFile, rows: Any, **named: Any) -> torch.Tensor:
        asked.append(rows.tolist())
        return original(self, rows, **named)

    monkeypatch.setattr(MappedFile, "take", noted)
    mapped(_memory()).batch(torch.tensor([9, 2, 30 - 8, 2]))
    assert asked == [[2, 2, 9, 22]]


def test_images_outside_are_refused() -> None:
    for store in (_memory(), mapped(_memory())):
        for index in (23, -1):
            with pytest.raises(IndexError):
                store.batch(torch.tensor([0, index]))


def test_everything_else_is_kept_too(tmp_path: Path) -> None:
    store, file = _memory(), mapped(_memory())
    assert isinstance(file, MappedStore)
    assert len(file) == len(store) == 23
    assert (file.shape, file.device, file.class_names) == (store.shape, store.device, store.class_names)
    assert all(torch.equal(getattr(file, name), getattr(store, name)) for name in ("labels", "mean", "std"))
    assert (file.on_disk, store.on_disk) == (True, False)
    assert "23 x 3 x 7 x 7" in repr(file)
    assert str(file.images.path) in repr(file)
    assert mapped(_memory(labels=False)).labels is None


def test_the_same_images_are_written_once(cache: Path) -> None:
    def files() -> list[Path]:
        return sorted(cache.rglob("*.npy"))

    first = mapped(_memory())
    before = first.images.path.stat()
    # Labels and statistics do not lie in the file.
    again = mapped(dataclasses.replace(_memory(labels=False), mean=torch.zeros(3)))
    assert again.images.path == first.images.path
    assert again.images.path.stat() == before
    assert len(files()) == 1
    mapped(_memory(count=22))
    assert len(files()) == 2


def test_pickles_and_moves_take_no_images(device: torch.device) -> None:
    file = mapped(_memory(count=200))
    content = pickle.dumps(file)
    assert len(content) < 5000 < file.images.path.stat().st_size
    indices = torch.tensor([8, 3])
    for copy in (pickle.loads(content), file.to(device), file.to("cpu")):
        assert torch.equal(copy.batch(indices).cpu(), file.batch(indices))
    moved = file.to("meta")
    assert {tensor.device.type for tensor in (moved.labels, moved.mean, moved.std)} == {"meta"}
    assert moved.device.type == "meta"
    assert moved.images is file.images


def test_grey_images_can_be_given_three_channels() -> None:
    grey = _memory(channels=1)
    statistics = grey.mean.expand(3), grey.std.expand(3)
    widened = ImageStore(grey.images.expand(-1, 3, -1, -1).contiguous(), None, *statistics)
    file = MappedStore(mapped(grey).images, None, *statistics, channels=3)
    indices = torch.tensor([5, 1, 22])
    assert torch.equal(file.batch(indices), widened.batch(indices))
    assert file.batch(indices).stride() == widened.batch(indices).stride()
    assert torch.equal(torch.cat(list(file.pieces())), widened.images)
    assert file.shape == widened.shape
    with pytest.raises(DataError, match="only grey images"):
        MappedStore(mapped(_memory()).images, None, torch.zeros(1), torch.ones(1), channels=1)


@pytest.mark.parametrize(
    "change", [{"labels": torch.zeros(22, dtype=torch.int64)}, {"mean": torch.zeros(1)}, {"std": torch.ones(2)}]
)
def test_what_does_not_belong_together_is_refused(change: dict[str, torch.Tensor]) -> None:
    with pytest.raises(DataError):
        dataclasses.replace(mapped(_memory()), **change)


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
    assert len(list(cache.rglob("*.npy"))) == 2
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
    assert not [thread for thread in threading.enumerate() if thread.name == "hssl-prefetch"]
    train(tiny(data__store=stores[1]), parts)
    assert metrics(parts) == metrics(whole)
    assert same(checkpoint(parts)["state_dict"], checkpoint(whole)["state_dict"])


def test_neither_an_epoch_nor_the_decoding_holds_the_images(tmp_path: Path) -> None:
    script = Path(__file__).resolve().parent.parent / "memory_use.py"
    environment = os.environ | {"HSSL_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, script, tmp_path], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    # Hundreds of megabytes, which would be kept for days.
    shutil.rmtree(tmp_path)
    assert done.returncode == 0, done.stderr
    for what, peak in json.loads(done.stdout).items():
        # A tenth or two where the machine is idle; an allocator gives back later where it is not.
        assert peak["mapped"] < 0.6 * peak["size"], what
        # The control: the same measure finds the images where they are held.
        assert peak["memory"] > 0.95 * peak["size"], what
