"""What happens around the step: checkpoints, the journal of metrics, the progress display."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from hssl.errors import HsslError
from hssl.extras import is_installed
from hssl.training.checkpoint import not_finite
from hssl.training.energy import EnergyMeter, meter_of
from hssl.training.run_folder import RunFolder

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

METRICS = ("train/loss", "train/accuracy", "train/readout_loss", "test/accuracy")


class DivergenceError(HsslError, ArithmeticError):
    """The loss, or something that a checkpoint holds, is no longer finite."""


class Checkpoint(Callback):
    """Saves `last.ckpt` at the end of every n-th epoch and of the run; a kill leaves the old or the new one, whole."""

    def __init__(self, folder: RunFolder, every_epochs: int) -> None:
        self.folder, self.every_epochs = folder, every_epochs

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        loss = float(trainer.callback_metrics.get("train/loss", torch.zeros(())))
        # The loss speaks of the weights before the last step; a checkpoint holds those after it, and more.
        broken = not_finite(pl_module, trainer.optimizers)
        if broken or not math.isfinite(loss):
            kept = "; the last good epoch is in checkpoints/last.ckpt" if self.folder.last_checkpoint.exists() else ""
            raise DivergenceError(
                f"training diverged in epoch {trainer.current_epoch}{kept}",
                got=f"train/loss {loss}" + (f", and not finite: {_some(broken)}" if broken else ""),
                hint="lower --optimizer.learning_rate, lengthen --optimizer.warmup_epochs, "
                "or train with --trainer.precision 32",
            )
        done = trainer.current_epoch + 1
        if done % self.every_epochs == 0 or done == trainer.max_epochs:
            trainer.save_checkpoint(self.folder.last_checkpoint)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


class OwnSignals(Callback):
    """SIGTERM is answered as it was before the training, where anybody did.

    Lightning's answer comes first, and in a distributed run waits for the other processes from within the handler.
    """

    def __init__(self) -> None:
        self._before = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # The trainer registers its own after `setup` and `on_fit_start`.
        if callable(self._before) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before)


class Journal(Callback):
    """One line of `metrics.jsonl` an epoch: metrics, seconds, and joules where every process's device tells them."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._start = 0.0
        self._energy = EnergyMeter(())

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._energy = meter_of(pl_module.device, first=trainer.local_rank == 0)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._start = time.perf_counter()
        self._energy.start()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        joules = self._energy.joules()
        if trainer.world_size > 1:
            joules = _over_all_processes(trainer, joules)
        if not trainer.is_global_zero:
            return
        seconds = time.perf_counter() - self._start
        line: dict[str, Any] = {"epoch": trainer.current_epoch, "step": trainer.global_step}
        # JSON has no word for NaN; the epoch in which training diverged stays readable.
        line |= {name: value if math.isfinite(value) else None for name, value in _measured(trainer).items()}
        line["learning_rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        line["images_per_second"] = round(_images_per_epoch(trainer) / seconds, 1)
        line["seconds"] = round(seconds, 3)
        if joules is not None:
            line["joules"] = joules
        self.folder.append_metrics(line)


class ProgressDisplay(Callback):
    """A live bar over the whole run with loss, accuracy, images a second and time left.

    Plain lines off a terminal, and without rich.
    """

    def __init__(self, folder: RunFolder, name: str) -> None:
        self._console = _terminal()
        self._folder, self._name = folder, name
        self._progress: Progress | None = None
        self._rate = 0.0
        self._since = 0.0
        self._last_shown = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        epochs = f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
        self._note(f"{self._name}: {epochs}, {_images_per_epoch(trainer):,} images an epoch")
        if self._console is None:
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            # 80 columns hold all of it; the name stands on the line above.
            BarColumn(bar_width=14),
            TimeRemainingColumn(),
            TextColumn("left"),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            transient=False,
        )
        total = int(trainer.num_training_batches) * (trainer.max_epochs or 1)
        done = int(trainer.num_training_batches) * trainer.current_epoch
        self._task = self._progress.add_task(self._name, total=total, completed=done, figures="")
        self._progress.start()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        rate = len(batch.images) * trainer.world_size / max(now - self._since, 1e-9)
        self._rate = rate if self._rate == 0 else 0.9 * self._rate + 0.1 * rate
        if self._progress is None:
            return
        # Reading the loss waits for the device: a few times a second is enough for eyes.
        if now - self._last_shown > 0.3:
            self._last_shown = now
            loss = float(outputs["loss"]) if isinstance(outputs, dict) else float(outputs)
            figures = [f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", f"loss {loss:.3f}"]
            figures.append(f"{self._rate:,.0f} images/s")
            for name, label in (("train/accuracy", "train"), ("test/accuracy", "test")):
                if name in trainer.callback_metrics:
                    figures.append(f"{label} {_plain(trainer.callback_metrics[name]):.1f} %")
            self._progress.update(self._task, figures="  ".join(figures))
        self._progress.advance(self._task)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        figures = [f"{name} {value:.4g}" for name, value in _measured(trainer).items()]
        line = (
            f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {'  '.join(figures)}  {self._rate:,.0f} images/s"
        )
        self._note(line, quiet=self._progress is not None or not self._worth_a_line(trainer))

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _worth_a_line(self, trainer: L.Trainer) -> bool:
        """About ten lines a run where nobody watches live."""
        total, done = trainer.max_epochs or 1, trainer.current_epoch + 1
        return done == total or done % max(1, total // 10) == 0

    def _note(self, line: str, quiet: bool = False) -> None:
        self._folder.append_log(line)
        if not quiet and self._progress is None:
            print(line, file=sys.stderr, flush=True)


def _terminal() -> Console | None:
    """Where a live bar can be drawn; None off a terminal, and without rich."""
    if not sys.stderr.isatty() or not is_installed("terminal"):
        return None
    from rich.console import Console

    console = Console(file=sys.stderr)
    return console if console.is_terminal else None


def _over_all_processes(trainer: L.Trainer, joules: float | None) -> float | None:
    # NaN stands for a device that does not tell, and makes the sum one.
    told = torch.tensor(
        math.nan if joules is None else joules, dtype=torch.float64, device=trainer.strategy.root_device
    )
    total = float(trainer.strategy.reduce(told, reduce_op="sum"))
    return None if math.isnan(total) else round(total, 2)


def _images_per_epoch(trainer: L.Trainer) -> int:
    loader = trainer.train_dataloader
    assert loader is not None
    return int(len(loader) * loader.batch_size)


def _measured(trainer: L.Trainer) -> dict[str, float]:
    """The figures of this epoch. Lightning keeps showing the last test accuracy in epochs that measured none."""
    every = trainer.check_val_every_n_epoch
    tested = every is not None and (trainer.current_epoch + 1) % every == 0
    return {
        name: _plain(trainer.callback_metrics[name])
        for name in METRICS
        if name in trainer.callback_metrics and (tested or not name.startswith("test/"))
    }


def _plain(value: torch.Tensor) -> float:
    return round(float(value), 6)
