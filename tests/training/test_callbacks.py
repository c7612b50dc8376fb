"""Checkpoints, journal and progress around a training that is only pretended."""

import io
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from hssl.errors import HsslError
from hssl.training.callbacks import Checkpoint, DivergenceError, Journal, ProgressDisplay
from hssl.training.run_folder import RunFolder


class PretendTrainer:
    """What the callbacks ask of a trainer."""

    def __init__(self, epochs: int = 4, rank: int = 0, every: int = 2) -> None:
        self.max_epochs, self.current_epoch, self.global_step = epochs, 0, 0
        self.check_val_every_n_epoch = every
        self.callback_metrics: dict[str, torch.Tensor] = {"train/loss": torch.tensor(1.5)}
        self.is_global_zero, self.world_size = rank == 0, 1
        self.optimizers = [SimpleNamespace(param_groups=[{"lr": 0.25}], state={})]
        self.num_training_batches = 3
        self.train_dataloader = Loader()
        self.saved: list[Path] = []

    def save_checkpoint(self, path: Path) -> None:
        self.saved.append(path)
        path.write_text(f"epoch {self.current_epoch}")


class Loader:
    batch_size = 8

    def __len__(self) -> int:
        return 3


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    return folder


def end_epoch(callback: Any, trainer: PretendTrainer, epoch: int, module: nn.Module | None = None) -> None:
    trainer.current_epoch = epoch
    callback.on_train_epoch_end(trainer, module or nn.Linear(2, 2))


def test_checkpoints_every_nth_epoch_and_at_the_end(folder: RunFolder) -> None:
    trainer = PretendTrainer(epochs=5)
    callback = Checkpoint(folder, every_epochs=2)
    contents = []
    for epoch in range(5):
        end_epoch(callback, trainer, epoch)
        contents.append(folder.last_checkpoint.read_text() if folder.last_checkpoint.exists() else None)
    assert contents == [None, "epoch 1", "epoch 1", "epoch 3", "epoch 4"]
    assert [entry.name for entry in folder.checkpoints.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("broken", ["loss", "weight"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence(broken: str, value: float, folder: RunFolder) -> None:
    trainer, module = PretendTrainer(), nn.Linear(2, 2)
    callback = Checkpoint(folder, 1)
    if broken == "loss":
        trainer.callback_metrics["train/loss"] = torch.tensor(value)
    else:
        nn.init.constant_(module.weight, value)
    with pytest.raises(DivergenceError, match="diverged in epoch 0\n") as first:
        end_epoch(callback, trainer, 0, module)
    assert isinstance(first.value, HsslError)
    assert "last.ckpt" not in str(first.value)
    folder.last_checkpoint.write_text("good")
    with pytest.raises(DivergenceError, match=r"last good epoch is in checkpoints/last\.ckpt") as later:
        end_epoch(callback, trainer, 1, module)
    assert ("weight" in str(later.value)) == (broken == "weight")
    assert folder.last_checkpoint.read_text() == "good"


def journal_lines(folder: RunFolder) -> list[dict[str, Any]]:
    lines = folder.metrics_file.read_text().splitlines()
    return [json.loads(line, parse_constant=lambda word: pytest.fail(word)) for line in lines]


def test_journal(folder: RunFolder) -> None:
    trainer = PretendTrainer()
    callback = Journal(folder)
    for epoch in range(4):
        trainer.global_step = 3 * (epoch + 1)
        trainer.callback_metrics["train/loss"] = torch.tensor(1 / 3 + epoch)
        if epoch == 1:
            trainer.callback_metrics["test/accuracy"] = torch.tensor(50.0)
            trainer.callback_metrics["something/else"] = torch.tensor(1.0)
        callback.on_train_epoch_start(trainer, nn.Identity())  # type: ignore[arg-type]
        end_epoch(callback, trainer, epoch)
    lines = journal_lines(folder)
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]
    assert [line["step"] for line in lines] == [3, 6, 9, 12]
    assert [line["train/loss"] for line in lines] == [0.333333, 1.333333, 2.333333, 3.333333]
    # In the third epoch nothing was tested: the figure of the second one is not its own.
    assert ["test/accuracy" in line for line in lines] == [False, True, False, True]
    assert all(line["learning_rate"] == 0.25 and line["images_per_second"] > 0 for line in lines)
    assert not any("something/else" in line for line in lines)


def test_journal_has_no_word_for_nan(folder: RunFolder) -> None:
    trainer = PretendTrainer()
    trainer.callback_metrics["train/loss"] = torch.tensor(math.nan)
    callback = Journal(folder)
    callback.on_train_epoch_start(trainer, nn.Identity())  # type: ignore[arg-type]
    end_epoch(callback, trainer, 0)
    assert journal_lines(folder)[0]["train/loss"] is None


def test_other_ranks_write_nothing(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = PretendTrainer(rank=1)
    journal, display = Journal(folder), ProgressDisplay(folder, "run")
    journal.on_train_epoch_start(trainer, nn.Identity())  # type: ignore[arg-type]
    display.on_train_start(trainer, nn.Identity())  # type: ignore[arg-type]
    for callback in (journal, display):
        end_epoch(callback, trainer, 0)
    assert not folder.metrics_file.exists()
    assert not folder.log_file.exists()
    assert capsys.readouterr().err == ""


def show(display: ProgressDisplay, trainer: PretendTrainer) -> None:
    display.on_train_start(trainer, nn.Identity())  # type: ignore[arg-type]
    batch = SimpleNamespace(images=torch.zeros(8, 1))
    for epoch in range(trainer.max_epochs):
        trainer.current_epoch = epoch
        for step in range(3):
            display.on_train_batch_start(trainer, nn.Identity(), batch, step)  # type: ignore[arg-type]
            display.on_train_batch_end(trainer, nn.Identity(), {"loss": torch.tensor(2.0)}, batch, step)  # type: ignore[arg-type]
        end_epoch(display, trainer, epoch)
    display.on_train_end(trainer, nn.Identity())  # type: ignore[arg-type]


def test_off_a_terminal_about_ten_lines(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    show(ProgressDisplay(folder, "run"), PretendTrainer(epochs=57))
    shown = capsys.readouterr().err.splitlines()
    assert 8 <= len(shown) <= 14
    assert shown[0] == "run: epoch 1 of 57, 24 images an epoch"
    assert shown[-1].startswith("epoch 57/57  train/loss 1.5")
    # The log has every epoch.
    assert len(folder.log_file.read_text().splitlines()) == 58


def test_on_a_terminal_a_bar_that_is_put_away(folder: RunFolder) -> None:
    display = ProgressDisplay(folder, "run")
    screen = io.StringIO()
    # As narrow as terminals are: the time left and the figures are still there.
    display._console = Console(file=screen, force_terminal=True, width=80)
    show(display, PretendTrainer(epochs=2))
    text = screen.getvalue()
    assert "left" in text
    assert "epoch 1/2" in text
    assert "loss 2.000" in text
    assert "images/s" in text
    assert display._progress is None
    assert len(folder.log_file.read_text().splitlines()) == 3


def test_an_exception_gives_the_terminal_back(folder: RunFolder) -> None:
    display = ProgressDisplay(folder, "run")
    display._console = Console(file=io.StringIO(), force_terminal=True)
    trainer = PretendTrainer()
    display.on_train_start(trainer, nn.Identity())  # type: ignore[arg-type]
    assert display._progress is not None
    display.on_exception(trainer, nn.Identity(), KeyboardInterrupt())  # type: ignore[arg-type]
    assert display._progress is None
