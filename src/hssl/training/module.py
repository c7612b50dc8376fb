"""The run as a LightningModule: draw, apply, project, objective. Modes differ in their views alone."""

from __future__ import annotations

import hashlib
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from hssl.config import SELF_SUPERVISED, Config
from hssl.data import BatchLoader, DataSets
from hssl.data.loader import Batch
from hssl.groups import GroupFeatures, StreamFeatures, Streams
from hssl.objectives import OBJECTIVES
from hssl.training.build import build_backbone, build_projector, build_readout, build_views, pools_space
from hssl.training.distributed import gather_rows, own_rows
from hssl.training.optim import build_optimizer, warmup_cosine_schedule
from hssl.views import Pairs, Views


class SSLModule(L.LightningModule):
    """Backbone, views, projector, objective and the detached readout of one run.

    Args:
        config: the run.
        channels: of the images.
        classes: of the readout; None for images without labels, which then have no readout.

    Attributes:
        backbone, projector, readout: the networks; projector and readout are None where the mode or data has none.
    """

    def __init__(self, config: Config, channels: int, classes: int | None) -> None:
        super().__init__()
        self.config = config
        self.classes = classes
        self.data: DataSets | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.backbone = build_backbone(config, channels)
            self.pools_space = pools_space(config, self.backbone)
            self.views: Views | None = None
            self.projector: nn.Module | None = None
            if config.mode in SELF_SUPERVISED:
                self.views = build_views(config, self.backbone)
                self.projector = build_projector(config, self.backbone, self.views.base)  # type: ignore[attr-defined]
            self.readout = None if classes is None else build_readout(config, self.backbone, classes)
        if config.mode == "frozen":
            self.backbone.requires_grad_(False)
        if self.readout is not None and self.reads_afterwards:
            # Distributed training finds no parameter then that never gets a gradient.
            self.readout.requires_grad_(False)
        self.accuracy = None if classes is None else MulticlassAccuracy(classes, average="micro")

    # -- the step --------------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The loss of one rank's part of the batch; the readout's cross-entropy adds up, on detached features."""
        images, labels = batch.images, batch.labels
        if self.config.mode in SELF_SUPERVISED:
            loss, features = self.ssl_loss(images, self.draw(len(images), batch_index))
            self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True)
        else:
            loss, features = images.new_zeros(()), self.backbone(images)
        if self.readout is not None and not self.reads_afterwards:
            maps = self.as_maps(features).detach() if self.self_supervised else self.as_maps(features)
            # A-SSL's batch holds both views; the first one is read.
            logits = self.readout(maps[: len(images)])
            classification = nn.functional.cross_entropy(logits.float(), labels)
            assert self.accuracy is not None
            share = (logits.detach().argmax(1) == labels).float().mean()
            self.log(
                "train/accuracy", 100 * share, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True
            )
            name = "train/readout_loss" if self.self_supervised else "train/loss"
            self.log(name, classification, on_step=False, on_epoch=True, batch_size=len(images), sync_dist=True)
            loss = loss + classification
        return loss

    @property
    def self_supervised(self) -> bool:
        """Whether the mode trains on positive pairs."""
        return self.config.mode in SELF_SUPERVISED

    @property
    def reads_afterwards(self) -> bool:
        """Whether the readout is fitted to the finished network; a supervised one is trained through its readout."""
        return self.config.evaluation.readout == "afterwards" and self.config.mode != "supervised"

    def draw(self, batch_size: int, batch_index: int) -> Pairs:
        """The pairs of this rank's examples.

        Drawn for the whole batch from (seed, epoch, step) and then cut, so that a run draws the same pairs on any
        number of devices and after any interruption.
        """
        assert self.views is not None
        world, rank = (self.trainer.world_size, self.trainer.global_rank) if self._trainer is not None else (1, 0)
        digest = hashlib.sha256(f"pairs:{self.config.seed}:{self.current_epoch}:{batch_index}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        pairs = self.views.draw(batch_size * world, generator)
        if world > 1:
            pairs = self.views.with_streams(pairs.part(slice(rank * batch_size, (rank + 1) * batch_size)))
        return pairs.to(self.device)

    def ssl_loss(self, images: Tensor, pairs: Pairs) -> tuple[Tensor, GroupFeatures | StreamFeatures]:
        """Draw is done: apply, project, objective. Returns the loss and the features that it was computed from."""
        assert self.views is not None
        assert self.projector is not None
        seen: list[GroupFeatures | StreamFeatures] = []

        def encode(inputs: Tensor, *streams: Streams) -> GroupFeatures | StreamFeatures:
            seen.append(self.backbone(inputs, *streams))
            return seen[-1].pool_space() if self.pools_space else seen[-1]

        first, second = self.views.apply(images, encode, pairs)
        projections = self.projector(torch.cat([first, second]))
        first, second = (gather_rows(part) for part in projections.chunk(2))
        objective = OBJECTIVES[self.config.objective.name]
        loss = objective(first, second, temperature=self.config.objective.temperature, rows=own_rows(len(images)))
        return loss, seen[-1]

    def as_maps(self, features: GroupFeatures | StreamFeatures) -> Tensor:
        """Whole features as the readout reads them: [B, C, G, H, W], or [B, C, R] for the MLP."""
        values = features.values
        return values.unsqueeze(2) if values.ndim == 4 else values

    def maps(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] -> the readout's input."""
        return self.as_maps(self.backbone(images))

    def embed(self, images: Tensor) -> Tensor:
        """Images -> what probes are fitted on, [B, C] or, without a group, [B, S*C]: `GroupFeatures.embedding`."""
        return self.embedding_of(self.maps(images))

    def embedding_of(self, maps: Tensor) -> Tensor:
        """What `maps` gives -> what `embed` gives."""
        group = self.backbone.feature_group
        return GroupFeatures(maps.reshape(*maps.shape[:2], *group.axes), group).embedding()

    def predict(self, images: Tensor) -> Tensor:
        """Images -> logits of the readout [B, classes]."""
        assert self.readout is not None
        return self.readout(self.maps(images))  # type: ignore[no-any-return]

    # -- validation ------------------------------------------------------------------------------------------------

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Readout accuracy on the test set, in percent."""
        assert self.accuracy is not None
        self.accuracy.update(self.predict(batch.images), batch.labels)

    @property
    def validates(self) -> bool:
        """Whether there is a trained readout to try on the test set."""
        return self.readout is not None and not self.reads_afterwards

    def on_validation_epoch_end(self) -> None:
        if self.accuracy is not None:
            self.log("test/accuracy", 100 * self.accuracy.compute(), sync_dist=False, rank_zero_only=True)
            self.accuracy.reset()

    # -- what Lightning asks ---------------------------------------------------------------------------------------

    def on_train_epoch_start(self) -> None:
        # The loader counts epochs itself; this makes the trainer's count the one that holds.
        loader = self.trainer.train_dataloader
        assert isinstance(loader, BatchLoader)
        loader.set_epoch(self.current_epoch)
        if self.config.mode == "frozen":
            # BatchNorm must not drift while the readout is trained.
            self.backbone.eval()

    def _loader(self, train: bool) -> BatchLoader:
        assert self.data is not None
        store = self.data.train if train else self.data.test
        trainer = self.trainer
        settings = self.config.trainer
        dtype = torch.float64 if settings.precision == "64" else torch.float32
        size = settings.batch_size // settings.accumulate if train else min(settings.batch_size, 512)
        return BatchLoader(
            store.to(trainer.strategy.root_device),
            size,
            seed=self.config.seed,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
            shuffle=train,
            drop_last=train,
            parts=settings.accumulate if train else 1,
            dtype=dtype,
        )

    def train_dataloader(self) -> BatchLoader:
        return self._loader(train=True)

    def val_dataloader(self) -> BatchLoader:
        return self._loader(train=False)

    def configure_optimizers(self) -> Any:
        settings = self.config.optimizer
        optimizer = build_optimizer(settings, self)
        total = int(self.trainer.estimated_stepping_batches)
        warmup = min(round(settings.warmup_epochs * total / self.config.trainer.epochs), max(0, total - 1))
        schedule = warmup_cosine_schedule(optimizer, total_steps=total, warmup_steps=warmup)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
