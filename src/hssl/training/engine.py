"""Train a configuration into a run's folder, and go on after any interruption."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from hssl.backbones import Backbone, describe_size, is_large
from hssl.config import Config
from hssl.data import DataSets, load_data
from hssl.errors import ConfigurationError, DataError
from hssl.extras import how_to_install, is_installed
from hssl.training.build import build_backbone, build_views
from hssl.training.calibration import calibrate
from hssl.training.callbacks import METRICS, Checkpoint, DivergenceError, Journal, OwnSignals, ProgressDisplay
from hssl.training.checkpoint import CheckedFiles, load_checkpoint, not_finite, save_checkpoint
from hssl.training.device import device_of
from hssl.training.distributed import globalize_batch_norm
from hssl.training.energy import meter_of
from hssl.training.environment import describe_environment, is_first_process
from hssl.training.module import SSLModule
from hssl.training.notices import without_notices
from hssl.training.run_folder import RunFolder


def train(config: Config, out: Path) -> dict[str, Any]:
    """Train to the last epoch and return its metrics. The same call goes on where an interrupted run stopped.

    A finished run is left as it is: its last metrics come back at once, without a look at the data unless it is to lie
    in another place than before.

    Args:
        config: the run.
        out: its folder; new, empty, or this run's.

    Returns:
        `epochs`, `notes` on settings without effect and on the data that was read, and the figures of the last line of
        `metrics.jsonl`.

    Raises:
        HsslError: settings, data or a folder that do not fit, or another process trains into it; nothing has been
            written then.
        DivergenceError: the loss, a weight or an optimizer's state is no longer finite; the last good checkpoint stays.
    """
    folder, config = RunFolder(out), config.with_absolute_root()
    # Processes that a launcher starts side by side must not take each other's half-made folder for a foreign one.
    first = is_first_process()
    # The folder of another run is refused before data is decoded; it is claimed only once everything else fits.
    known = first and folder.recognise(config)
    network = check(config)
    # A finished run is only read, also where nothing can be written.
    if _epochs_done(folder) >= config.trainer.epochs:
        if first and config.data.root != folder.config().with_absolute_root().data.root:
            folder.check_data(load_data(config.data).summary())
        return {"epochs": config.trainer.epochs, "notes": config.without_effect(), **_last_figures(folder)}
    with ExitStack() as held:
        alone = True
        if known:
            alone = held.enter_context(folder.held())
        if config.trainer.threads is not None:
            torch.set_num_threads(config.trainer.threads)
        if first and is_large(network):
            print(f"{config.backbone.name}: {describe_size(network)}", file=sys.stderr, flush=True)
        data = load_data(config.data)
        if data.num_classes is None and config.method.takes_labels:
            raise DataError(
                f"the method '{config.method.name}' trains on labels and these images have none",
                got=data.source,
                hint="put the images of each class into a folder of its own, or train a-ssl or h-ssl",
            )
        module = SSLModule(config, data.channels, data.num_classes)
        module.data = data
        if first and not known:
            alone = held.enter_context(folder.held())
        # Only now: until the lock was taken, another process may have gone on with this run.
        epochs_done = _epochs_done(folder)
        if first:
            folder.claim(config)
            folder.claim_data(data.summary())
            folder.trim_metrics(epochs_done)
        if epochs_done < config.trainer.epochs:
            _fit(config, folder, module, data, resume=epochs_done > 0)
    notes = [*config.without_effect(), *data.notes]
    if not alone:
        notes.append(_NO_LOCK)
    if not is_installed("tensorboard"):
        notes.append(f"no curves for TensorBoard were written: {how_to_install('tensorboard')}")
    return {"epochs": config.trainer.epochs, "notes": tuple(notes), **_last_figures(folder)}


def check(config: Config) -> Backbone:
    """Refuse what cannot train before any data is read.

    Returns:
        the network without memory for its weights, on the meta device and for images of three channels.

    Raises:
        HsslError: settings that contradict each other, the network's sizes or this machine.
    """
    world = config.trainer.devices * config.trainer.nodes
    part = config.trainer.batch_size // config.trainer.accumulate
    if config.trainer.batch_size % (config.trainer.accumulate * world):
        raise ConfigurationError(
            "the batch does not divide into its parts",
            got=f"batch_size {config.trainer.batch_size}, accumulate {config.trainer.accumulate}, {world} devices",
            expected=f"a multiple of {config.trainer.accumulate * world}",
        )
    if part < 2:
        raise ConfigurationError(
            "a batch of 1 has no negatives, and no BatchNorm statistics",
            got=f"{part} image a step",
            expected="trainer.batch_size / trainer.accumulate >= 2",
            hint="raise --trainer.batch_size",
        )
    if config.optimizer.warmup_epochs > config.trainer.epochs:
        raise ConfigurationError(
            "the warm-up is longer than the training",
            got=f"optimizer.warmup_epochs {config.optimizer.warmup_epochs:g}, trainer.epochs {config.trainer.epochs}",
            hint="lower --optimizer.warmup_epochs or raise --trainer.epochs",
        )
    if config.samples_streams and config.evaluation.readout == "alongside":
        raise ConfigurationError(
            "a readout reads all streams, and only the sampled ones are computed while training",
            got="views.streams sampled with evaluation.readout alongside",
            hint="--evaluation.readout afterwards, or --views.streams all",
        )
    _check_devices(config)
    # Channels decide nothing about sizes: the network's own check and the base space's run before data is decoded.
    with torch.device("meta"):
        backbone = build_backbone(config, 3)
    build_views(config, backbone)
    return backbone


# -- inside ------------------------------------------------------------------------------------------------------------

_NO_LOCK = "the file system of the run's folder knows no locks: nothing keeps a second training out of it but you"


def _epochs_done(folder: RunFolder) -> int:
    """How many epochs the last checkpoint has behind it."""
    return int(load_checkpoint(folder.last_checkpoint)["epoch"]) + 1 if folder.last_checkpoint.exists() else 0


def _fit(config: Config, folder: RunFolder, module: SSLModule, data: DataSets, resume: bool) -> None:
    with without_notices():
        trainer = _trainer(config, folder, module.validates)
        device = trainer.strategy.root_device
        if trainer.is_global_zero:
            folder.note_environment(describe_environment(device))
        start, energy = time.perf_counter(), meter_of(device)
        trains = config.method.trains_backbone
        if not trains and not resume:
            calibrate(module.backbone.to(device), data.train.to(device))
        if not trains and module.reads_afterwards:
            if trainer.is_global_zero:
                _save_frozen(module, folder, time.perf_counter() - start, energy.joules())
        else:
            if trainer.world_size > 1:
                globalize_batch_norm(module)
            try:
                trainer.fit(module, ckpt_path=str(folder.last_checkpoint) if resume else None, weights_only=True)
            except BaseException:
                # The others of a distributed run would wait for this one for ever.
                if isinstance(launcher := trainer.strategy.launcher, _SubprocessScriptLauncher):
                    launcher.kill(signal.SIGTERM)
                raise
    if trainer.interrupted:
        raise KeyboardInterrupt


def _check_devices(config: Config) -> None:
    settings, device = config.trainer, device_of(config)
    if settings.accelerator == "gpu" and device.type == "cpu":
        raise ConfigurationError(
            "there is no GPU here that torch can use", got="trainer.accelerator gpu", expected="cpu or auto"
        )
    if device.type == "cuda" and settings.devices > torch.cuda.device_count():
        raise ConfigurationError(
            "there are fewer GPUs here than asked for",
            got=f"trainer.devices {settings.devices}",
            expected=f"at most {torch.cuda.device_count()}",
        )
    if settings.precision == "fp16" and device.type == "cpu":
        raise ConfigurationError(
            "half precision with a scaled loss needs a GPU",
            got="trainer.precision fp16 on a CPU",
            expected="auto, 32, 64 or bf16",
        )


def _last_figures(folder: RunFolder) -> dict[str, float]:
    return {name: value for name, value in folder.last_metrics().items() if name in METRICS}


def _precision(config: Config) -> Any:
    wanted = config.trainer.precision
    if wanted == "auto":
        bf16 = device_of(config).type == "cuda" and torch.cuda.is_bf16_supported()
        return "bf16-mixed" if bf16 else "32-true"
    return {"32": "32-true", "64": "64-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[wanted]


def _trainer(config: Config, folder: RunFolder, validates: bool) -> L.Trainer:
    settings = config.trainer
    return L.Trainer(
        accelerator="cpu" if device_of(config).type == "cpu" else "gpu",
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy="ddp" if settings.devices * settings.nodes > 1 else "auto",
        precision=_precision(config),
        max_epochs=settings.epochs,
        check_val_every_n_epoch=settings.evaluate_every_epochs or settings.epochs,
        limit_val_batches=1.0 if validates else 0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=10,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        plugins=[CheckedFiles()],
        logger=is_installed("tensorboard") and TensorBoardLogger(str(folder.path), name="tensorboard", version=""),
        callbacks=[
            OwnSignals(),
            # First: its sum over processes must not meet the one that reading a metric starts in the first process.
            Journal(folder),
            ProgressDisplay(folder, config.recipe),
            # Last, so that what it saves has been written down before.
            Checkpoint(folder, settings.checkpoint_every_epochs),
        ],
    )


def _save_frozen(module: SSLModule, folder: RunFolder, seconds: float, joules: float | None) -> None:
    """A frozen network whose readout is fitted afterwards has nothing to train: calibrated, it is finished."""
    if broken := not_finite(module):
        raise DivergenceError(
            "the calibrated network is not finite",
            got=", ".join(broken[:3]),
            hint="look at the images: one that is not finite is enough",
        )
    last = module.config.trainer.epochs - 1
    line = {"epoch": last, "step": 0, "seconds": round(seconds, 3)}
    folder.append_metrics(line if joules is None else line | {"joules": joules})
    folder.append_log(f"{module.config.recipe}: random weights, BatchNorm calibrated; the readout is fitted afterwards")
    content = {"epoch": last, "global_step": 0, "state_dict": module.state_dict()}
    save_checkpoint(content, folder.last_checkpoint)
