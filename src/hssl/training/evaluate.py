"""Measure a trained run, or a recipe's network before training."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hssl.backbones import randomize_statistics
from hssl.config import Config
from hssl.data import DataSets, Store, load_data
from hssl.errors import ConfigurationError, RunFolderError
from hssl.evaluation.equivariance import check_equivariance
from hssl.training.build import build_backbone
from hssl.training.calibration import calibrate
from hssl.training.checkpoint import load_checkpoint
from hssl.training.device import device_of
from hssl.training.energy import meter_of
from hssl.training.measures import gain, measure
from hssl.training.module import SSLModule
from hssl.training.run_folder import RunFolder


def evaluate_run(
    run: Path, data_root: str | None = None, told: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Every measure of a finished or interrupted run; written to its `evaluation.json`.

    All of them are taken twice, of the run's network and of the same network before training: what training gained.

    Args:
        run: the run's folder.
        data_root: where the run's data lies now; None for where it lay in training.
        told: called with what is being done, in a few words.

    Raises:
        RunFolderError: no run, one without a checkpoint yet, or data that the run was not trained on.
    """
    folder = RunFolder(run)
    config = _relocated(folder.config(), data_root)
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    device = device_of(config)
    start, energy = time.perf_counter(), meter_of(device)
    told("reading the data and the last checkpoint")
    module, data, checkpoint = restored(folder, config)
    module.to(device).eval()
    train_store, test_store = data.train.to(device), data.test.to(device)
    figures = measure(module, train_store, test_store, told)
    told("the same of the network before training")
    before = untrained_module(config, data, train_store)
    untrained = measure(before, train_store, test_store, lambda _: None) if config.method.trains_backbone else figures
    count = min(config.evaluation.equivariance_images, len(test_store))
    images = test_store.batch(torch.arange(count, device=device))
    told("equivariance error, of the trained network and of the untrained one")
    report = check_equivariance(module.backbone.float(), images)
    report_before = check_equivariance(before.backbone.float(), images)
    epochs = int(checkpoint["epoch"]) + 1
    evaluation = {
        "recipe": config.recipe,
        "mode": config.mode,
        "transformation": config.transformation,
        "seed": config.seed,
        "identity": config.identity(),
        "epoch": epochs,
        "complete": epochs >= config.trainer.epochs,
        **figures,
        "untrained": untrained,
        "gain": gain(figures, untrained, len(test_store)) if config.method.trains_backbone else None,
        "equivariance": report.as_dict(),
        "equivariance_untrained": report_before.as_dict(),
        "data": {
            "source": data.source,
            "train_images": len(data.train),
            "test_images": len(data.test),
            "notes": list(data.notes),
            **({} if config.data.root is None else {"root": config.data.root}),
        },
        "labels": data.num_classes is not None,
        "wall_seconds": round(time.perf_counter() - start, 3),
        "joules": energy.joules(),
    }
    folder.write_json(folder.evaluation_file, evaluation)
    return evaluation


def measure_equivariance(
    config: Config | None = None, run: Path | None = None, data_root: str | None = None
) -> dict[str, Any]:
    """The equivariance error of a run's network, or of a recipe's with random weights and random BatchNorm statistics.

    Without a run no data is read: the images are smooth random fields. With one, `data_root` is as in `evaluate_run`.
    """
    if run is not None:
        folder = RunFolder(run)
        config = _relocated(folder.config(), data_root)
        module, data, _ = restored(folder, config)
        store = data.test
        images = store.batch(torch.arange(min(config.evaluation.equivariance_images, len(store))))
        return check_equivariance(module.backbone.cpu().float(), images).as_dict()
    if config is None:
        raise ConfigurationError("give a recipe or a run's folder to measure")
    channels = 1 if config.data.name in ("digits", "mnist") else 3
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        backbone = build_backbone(config, channels)
    generator = torch.Generator().manual_seed(config.seed)
    randomize_statistics(backbone, generator)
    coarse = torch.rand(2, channels, 7, 7, generator=generator)
    images = nn.functional.interpolate(coarse, size=config.data.resolution, mode="bicubic", align_corners=False)
    return check_equivariance(backbone, images).as_dict()


# -- inside ------------------------------------------------------------------------------------------------------------


def _relocated(config: Config, data_root: str | None) -> Config:
    if data_root is not None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": data_root})})
    return config.with_absolute_root()


def restored(folder: RunFolder, config: Config) -> tuple[SSLModule, DataSets, dict[str, Any]]:
    if not folder.last_checkpoint.exists():
        raise RunFolderError(
            f"the run in {folder.path} has no checkpoint yet",
            hint=f"train it: hssl train {folder.config_file} --out {folder.path}",
        )
    checkpoint = load_checkpoint(folder.last_checkpoint)
    data = load_data(config.data)
    folder.check_data(data.summary())
    module = SSLModule(config, data.channels, data.num_classes)
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise RunFolderError(
            f"the network in {folder.path} does not fit the images that lie at its data's place now",
            got=f"{data.source}: {data.channels} channels, {data.num_classes or 'no'} classes",
            hint="put the data of the run back, or train a new run",
        ) from error
    return module, data, checkpoint


def untrained_module(config: Config, data: DataSets, store: Store) -> SSLModule:
    """The run's module as it was before training, its BatchNorm statistics those of the images, as a frozen one's."""
    module = SSLModule(config, data.channels, data.num_classes).to(store.device)
    calibrate(module.backbone, store)
    return module.eval()
