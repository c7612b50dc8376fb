"""Train a configuration into a run's folder, go on after any interruption, and evaluate what lies there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from hssl.backbones import Backbone, randomize_statistics
from hssl.config import SELF_SUPERVISED, Config
from hssl.data import DataSets, Store, load_data
from hssl.errors import ConfigurationError, DataError, RunFolderError
from hssl.evaluation.embeddings import embed
from hssl.evaluation.equivariance import equivariance_report
from hssl.evaluation.knn import knn
from hssl.evaluation.linear_probe import linear_probe
from hssl.evaluation.readout import fit_readout, readout_accuracy
from hssl.training.build import build_backbone, build_views
from hssl.training.callbacks import METRICS, Checkpoint, Journal, ProgressDisplay
from hssl.training.distributed import globalize_batch_norm
from hssl.training.energy import meter_of
from hssl.training.environment import describe_environment, is_first_process
from hssl.training.module import SSLModule
from hssl.training.notices import without_notices
from hssl.training.run_folder import RunFolder

_CHUNK = 256


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
        HsslError: settings, data or a folder that do not fit; nothing has been written then.
        DivergenceError: the loss or a weight is no longer finite; the last good checkpoint stays.
    """
    folder, config = RunFolder(out), config.with_absolute_root()
    # Processes that a launcher starts side by side must not take each other's half-made folder for a foreign one.
    first = is_first_process()
    # The folder of another run is refused before data is decoded; it is claimed only once everything else fits.
    if first and out.exists():
        _refuse_foreign(folder, config)
    check(config)
    resume = folder.last_checkpoint if folder.last_checkpoint.exists() else None
    epochs_done = 0 if resume is None else int(_load(resume)["epoch"]) + 1
    if epochs_done >= config.trainer.epochs:
        if first and config.data.root != folder.config().with_absolute_root().data.root:
            folder.check_data(load_data(config.data).summary())
        return {"epochs": config.trainer.epochs, "notes": config.without_effect(), **_last_figures(folder)}
    if config.trainer.threads is not None:
        torch.set_num_threads(config.trainer.threads)
    data = load_data(config.data)
    if data.num_classes is None and config.mode in ("frozen", "supervised"):
        raise DataError(
            f"the mode '{config.mode}' trains on labels and these images have none",
            arrived=data.source,
            remedy="put the images of each class into a folder of its own, or train a-ssl or h-ssl",
        )
    module = SSLModule(config, data.channels, data.num_classes)
    module.data = data
    if first:
        folder.claim(config)
        folder.claim_data(data.summary())
        folder.trim_metrics(epochs_done)
    with without_notices():
        trainer = _trainer(config, folder, module.validates)
        device = trainer.strategy.root_device
        if trainer.is_global_zero:
            folder.note_environment(describe_environment(device))
        start, energy = time.perf_counter(), meter_of(device)
        if config.mode == "frozen" and resume is None:
            calibrate(module.backbone.to(device), data.train.to(device))
        if config.mode == "frozen" and module.reads_afterwards:
            if trainer.is_global_zero:
                _save_frozen(module, folder, time.perf_counter() - start, energy.joules())
        else:
            if trainer.world_size > 1:
                globalize_batch_norm(module)
            trainer.fit(module, ckpt_path=None if resume is None else str(resume), weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    return {"epochs": config.trainer.epochs, "notes": (*config.without_effect(), *data.notes), **_last_figures(folder)}


def evaluate_run(
    run: Path, data_root: str | None = None, told: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Readout, linear probe, kNN and equivariance of a finished or interrupted run; written to its `evaluation.json`.

    Equivariance is measured twice, on the run's network and on the same network before training.

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
    device = _device(config)
    start, energy = time.perf_counter(), meter_of(device)
    told("reading the data and the last checkpoint")
    module, data, checkpoint = _restore(folder, config)
    module.to(device).eval()
    train_store, test_store = data.train.to(device), data.test.to(device)
    figures: dict[str, Any] = {"readout": None, "linear_probe": None, "knn": None}
    if data.num_classes is not None:
        told("fitting and testing the readout" if module.reads_afterwards else "testing the readout")
        figures["readout"] = _readout(module, config, train_store, test_store)
        told(f"linear probe and nearest neighbours on the features of {len(train_store):,} images")
        features = [embed(module.embed, store, _CHUNK) for store in (train_store, test_store)]
        assert train_store.labels is not None
        assert test_store.labels is not None
        arguments = (features[0], train_store.labels.cpu(), features[1], test_store.labels.cpu())
        settings = config.evaluation
        probe = linear_probe(*arguments, max_train=settings.linear_probe_images, seed=config.seed)
        neighbours = knn(*arguments, neighbours=min(settings.knn_neighbours, len(train_store)))
        figures["linear_probe"] = {"accuracy": probe.accuracy, "protocol": probe.protocol}
        figures["knn"] = {"accuracy": neighbours.accuracy, "protocol": neighbours.protocol}
    count = min(config.evaluation.equivariance_images, len(test_store))
    images = test_store.batch(torch.arange(count, device=device))
    told("equivariance error, of the trained network and of the untrained one")
    report = equivariance_report(module.backbone.float(), images)
    untrained = equivariance_report(_untrained(config, data.channels, train_store).float(), images)
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
        "equivariance": report.as_dict(),
        "equivariance_untrained": untrained.as_dict(),
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
        module, data, _ = _restore(folder, config)
        store = data.test
        images = store.batch(torch.arange(min(config.evaluation.equivariance_images, len(store))))
        return equivariance_report(module.backbone.cpu().float(), images).as_dict()
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
    return equivariance_report(backbone, images).as_dict()


@torch.no_grad()
def calibrate(network: nn.Module, store: Store) -> None:
    """BatchNorm statistics of an untrained network from one pass over the training images (decision 10).

    The cumulative average over batches of equal size (to within one image); the network is left in eval mode.
    """
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [part.momentum for part in norms]
    for part in norms:
        part.reset_running_stats()
        part.momentum = None
    network.train()
    # Each batch weighs the same in the average, so a short last one would count for more than its images.
    batches = -(-len(store) // _CHUNK)
    for indices in torch.arange(len(store), device=store.device).tensor_split(batches):
        network(store.batch(indices))
    for part, momentum in zip(norms, momenta, strict=True):
        part.momentum = momentum
    network.eval()


def check(config: Config) -> None:
    """Refuse what cannot train before any data is read.

    Raises:
        HsslError: settings that contradict each other, the network's sizes or this machine.
    """
    world = config.trainer.devices * config.trainer.nodes
    part = config.trainer.batch_size // config.trainer.accumulate
    if config.trainer.batch_size % (config.trainer.accumulate * world):
        raise ConfigurationError(
            "the batch does not divide into its parts",
            arrived=f"batch_size {config.trainer.batch_size}, accumulate {config.trainer.accumulate}, {world} devices",
            accepted=f"a multiple of {config.trainer.accumulate * world}",
        )
    if part < 2:
        raise ConfigurationError(
            "a batch of 1 has no negatives, and no BatchNorm statistics",
            arrived=f"{part} image a step",
            accepted="trainer.batch_size / trainer.accumulate >= 2",
            remedy="raise --trainer.batch_size",
        )
    if config.optimizer.warmup_epochs > config.trainer.epochs:
        raise ConfigurationError(
            "the warm-up is longer than the training",
            arrived=f"optimizer.warmup_epochs {config.optimizer.warmup_epochs:g}, "
            f"trainer.epochs {config.trainer.epochs}",
            remedy="lower --optimizer.warmup_epochs or raise --trainer.epochs",
        )
    if config.samples_streams and config.evaluation.readout == "alongside":
        raise ConfigurationError(
            "a readout reads all streams, and only the sampled ones are computed while training",
            arrived="views.streams sampled with evaluation.readout alongside",
            remedy="--evaluation.readout afterwards, or --views.streams all",
        )
    _check_devices(config)
    # Channels decide nothing about sizes: the network's own check and the base space's run before data is decoded.
    with torch.device("meta"):
        backbone = build_backbone(config, 3)
    if config.mode in SELF_SUPERVISED:
        build_views(config, backbone)


# -- inside ------------------------------------------------------------------------------------------------------------


def _check_devices(config: Config) -> None:
    settings, device = config.trainer, _device(config)
    if settings.accelerator == "gpu" and device.type == "cpu":
        raise ConfigurationError(
            "there is no GPU here that torch can use", arrived="trainer.accelerator gpu", accepted="cpu or auto"
        )
    if device.type == "cuda" and settings.devices > torch.cuda.device_count():
        raise ConfigurationError(
            "there are fewer GPUs here than asked for",
            arrived=f"trainer.devices {settings.devices}",
            accepted=f"at most {torch.cuda.device_count()}",
        )
    if settings.precision == "fp16" and device.type == "cpu":
        raise ConfigurationError(
            "half precision with a scaled loss needs a GPU",
            arrived="trainer.precision fp16 on a CPU",
            accepted="auto, 32, 64 or bf16",
        )


def _last_figures(folder: RunFolder) -> dict[str, float]:
    return {name: value for name, value in folder.last_metrics().items() if name in METRICS}


def _relocated(config: Config, data_root: str | None) -> Config:
    if data_root is not None:
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": data_root})})
    return config.with_absolute_root()


def _refuse_foreign(folder: RunFolder, config: Config) -> None:
    if folder.config_file.exists() or not folder.path.is_dir() or any(folder.path.iterdir()):
        folder.claim(config)


def _device(config: Config) -> torch.device:
    use_gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if use_gpu else "cpu")


def _precision(config: Config) -> Any:
    wanted = config.trainer.precision
    if wanted == "auto":
        bf16 = _device(config).type == "cuda" and torch.cuda.is_bf16_supported()
        return "bf16-mixed" if bf16 else "32-true"
    return {"32": "32-true", "64": "64-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}[wanted]


def _trainer(config: Config, folder: RunFolder, validates: bool) -> L.Trainer:
    settings = config.trainer
    return L.Trainer(
        accelerator="cpu" if _device(config).type == "cpu" else "gpu",
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy="ddp" if settings.devices * settings.nodes > 1 else "auto",
        precision=_precision(config),
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        check_val_every_n_epoch=settings.evaluate_every_epochs or settings.epochs,
        limit_val_batches=1.0 if validates else 0,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=10,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=TensorBoardLogger(str(folder.path), name="tensorboard", version=""),
        callbacks=[
            # First: its sum over processes must not meet the one that reading a metric starts in the first process.
            Journal(folder),
            ProgressDisplay(folder, config.recipe),
            # Last, so that what it saves has been written down before.
            Checkpoint(folder, settings.checkpoint_every_epochs),
        ],
    )


def _load(checkpoint: Path) -> dict[str, Any]:
    again = "delete the file to train that run from its beginning"
    try:
        # Plain data alone: whoever reads a stranger's run must not run a stranger's code.
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise RunFolderError(f"{checkpoint} cannot be read", arrived=error.strerror) from error
    except Exception as error:
        raise RunFolderError(f"{checkpoint} is damaged or not a checkpoint", remedy=again) from error
    if not isinstance(content, dict) or not {"epoch", "state_dict"} <= content.keys():
        raise RunFolderError(f"{checkpoint} is damaged or not a checkpoint of a run", remedy=again)
    return content


def _restore(folder: RunFolder, config: Config) -> tuple[SSLModule, DataSets, dict[str, Any]]:
    if not folder.last_checkpoint.exists():
        raise RunFolderError(
            f"the run in {folder.path} has no checkpoint yet",
            remedy=f"train it: hssl train {folder.config_file} --out {folder.path}",
        )
    checkpoint = _load(folder.last_checkpoint)
    data = load_data(config.data)
    folder.check_data(data.summary())
    module = SSLModule(config, data.channels, data.num_classes)
    try:
        module.load_state_dict(checkpoint["state_dict"])
    except RuntimeError as error:
        raise RunFolderError(
            f"the network in {folder.path} does not fit the images that lie at its data's place now",
            arrived=f"{data.source}: {data.channels} channels, {data.num_classes or 'no'} classes",
            remedy="put the data of the run back, or train a new run",
        ) from error
    return module, data, checkpoint


def _untrained(config: Config, channels: int, store: Store) -> Backbone:
    """The run's network as it was before training, its BatchNorm statistics those of the images, as a frozen one's."""
    backbone = SSLModule(config, channels, None).backbone.to(store.device)
    calibrate(backbone, store)
    return backbone


def _readout(module: SSLModule, config: Config, train_store: Store, test_store: Store) -> dict[str, Any]:
    assert module.readout is not None
    if not module.reads_afterwards:
        how = (
            "the paper's readout, trained alongside on detached features"
            if config.mode != "supervised"
            else ("the paper's readout, trained through the whole network")
        )
    else:
        epochs = config.evaluation.readout_epochs
        how = f"the paper's readout, trained {epochs} epochs afterwards on frozen features"
        frozen = torch.no_grad()(module.maps)
        module.readout.requires_grad_(True)
        fit_readout(
            module.readout, frozen, train_store, epochs=epochs, batch_size=min(256, len(train_store)), seed=config.seed
        )

    def predict(images: Tensor) -> Tensor:
        return module.predict(images)

    return {"accuracy": readout_accuracy(predict, test_store, _CHUNK), "protocol": f"{how}; last epoch"}


def _save_frozen(module: SSLModule, folder: RunFolder, seconds: float, joules: float | None) -> None:
    """A frozen network whose readout is fitted afterwards has nothing to train: calibrated, it is finished."""
    last = module.config.trainer.epochs - 1
    line = {"epoch": last, "step": 0, "seconds": round(seconds, 3)}
    folder.append_metrics(line if joules is None else line | {"joules": joules})
    folder.append_log(f"{module.config.recipe}: random weights, BatchNorm calibrated; the readout is fitted afterwards")
    temporary = folder.checkpoints / ".last.ckpt.part"
    torch.save({"epoch": last, "global_step": 0, "state_dict": module.state_dict()}, temporary)
    temporary.replace(folder.last_checkpoint)
