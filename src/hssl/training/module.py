"""The run as a LightningModule: it draws, calls the method and logs."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from hssl.backbones import Backbone
from hssl.config import Config
from hssl.data import BatchLoader, DataSets
from hssl.data.loader import Batch
from hssl.groups import GroupFeatures
from hssl.heads import as_maps
from hssl.optimizers import build_optimizer, warmup_cosine_schedule
from hssl.training.build import build_method
from hssl.views import Pairs


class SSLModule(L.LightningModule):
    """The method of one run, and the readout that is trained beside it on detached features.

    Args:
        config: the run.
        channels: of the images.
        classes: of the readout; None for images without labels, which then have no readout.

    Attributes:
        method: what is trained.
        detached_readout: trained alongside on detached features, or afterwards; None where the method has its own, and
            without labels.
    """

    def __init__(self, config: Config, channels: int, classes: int | None) -> None:
        super().__init__()
        # A method may backpropagate parts by themselves.
        self.automatic_optimization = False
        self.config, self.classes = config, classes
        self.data: DataSets | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.method = build_method(config, channels, classes)
            own = self.method.readout is not None
            beside = None if classes is None or own else self.backbone.build_readout(classes)
        self.detached_readout = beside
        if beside is not None and self.reads_afterwards:
            # Distributed training finds no parameter then that never gets a gradient.
            beside.requires_grad_(False)
        self.accuracy = None if classes is None else MulticlassAccuracy(classes, average="micro")

    @property
    def backbone(self) -> Backbone:
        """f."""
        return self.method.backbone

    @property
    def readout(self) -> nn.Module | None:
        """What `predict` reads features with."""
        return self.method.readout if self.method.readout is not None else self.detached_readout

    @property
    def reads_afterwards(self) -> bool:
        """Whether the readout is fitted to the finished network; one that the method trains is as it is."""
        return self.config.evaluation.readout == "afterwards" and self.method.readout is None

    # -- the step --------------------------------------------------------------------------------------------------

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """One rank's part of a batch; after the last part a step of the optimizer. Returns the method's loss."""
        optimizer, schedule = self.optimizers(), self.lr_schedulers()
        parts = self.config.trainer.accumulate
        if batch_index % parts == 0:
            optimizer.zero_grad()  # type: ignore[union-attr]
        last = (batch_index + 1) % parts == 0
        self._backpropagated = False

        def backward(loss: Tensor) -> None:
            # The processes' gradients are joined once: while the first piece of the last part is backpropagated the
            # reducer is made ready, and it waits for the gradients of all further pieces.
            with nullcontext() if last and not self._backpropagated else self._unsynchronised():
                self.manual_backward(loss / parts)
            self._backpropagated = True

        pairs = self.draw(len(batch.images), batch_index) if self.config.method.takes_pairs else None
        step = self.method.step(batch.images, batch.labels, pairs, backward)
        pieces = [] if step.loss is None else [step.loss]
        if step.loss is not None:
            self._note("train/loss", step.loss, batch)
        for name, value in step.logs.items():
            self._note(f"train/{name}", value, batch)
        if self.detached_readout is not None and not self.reads_afterwards and step.features is not None:
            # A-SSL's features are of both views; the first one is read.
            maps = as_maps(step.features).detach()[: len(batch.images)]
            logits = self.detached_readout(maps)
            pieces.append(nn.functional.cross_entropy(logits.float(), batch.labels))
            self._note("train/accuracy", 100 * (logits.detach().argmax(1) == batch.labels).float().mean(), batch)
            self._note("train/loss" if step.loss is None else "train/readout_loss", pieces[-1], batch)
        if pieces:
            backward(sum(pieces[1:], pieces[0]))
        if last:
            optimizer.step()  # type: ignore[union-attr]
            schedule.step()  # type: ignore[union-attr]
            self.method.after_step(self.progress)
        return sum(pieces[1:], pieces[0]).detach() if pieces else batch.images.new_zeros(())

    def _unsynchronised(self) -> Any:
        model = self.trainer.strategy.model
        return model.no_sync() if isinstance(model, nn.parallel.DistributedDataParallel) else nullcontext()

    def _note(self, name: str, value: Tensor, batch: Batch) -> None:
        self.log(name, value.detach(), on_step=False, on_epoch=True, batch_size=len(batch.images), sync_dist=True)

    def draw(self, batch_size: int, batch_index: int) -> Pairs:
        """The pairs of this rank's examples.

        Drawn for the whole batch from (seed, epoch, step) and then cut, so that a run draws the same pairs on any
        number of devices and after any interruption.
        """
        views = self.method.views
        assert views is not None
        world, rank = (self.trainer.world_size, self.trainer.global_rank) if self._trainer is not None else (1, 0)
        digest = hashlib.sha256(f"pairs:{self.config.seed}:{self.current_epoch}:{batch_index}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        pairs = views.draw(batch_size * world, generator)
        if world > 1:
            pairs = views.with_streams(pairs.part(slice(rank * batch_size, (rank + 1) * batch_size)))
        return pairs.to(self.device)

    # -- what is read ----------------------------------------------------------------------------------------------

    def maps(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] -> the readout's input."""
        return as_maps(self.backbone(images))

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

    @property
    def total_steps(self) -> int:
        """Steps of the optimizer in the whole training."""
        return int(self.trainer.estimated_stepping_batches) // self.config.trainer.accumulate

    @property
    def progress(self) -> float:
        """The share of these steps that is done."""
        return min(1.0, self.trainer.global_step / self.total_steps)

    def configure_optimizers(self) -> Any:
        settings, total = self.config.optimizer, self.total_steps
        optimizer = build_optimizer(settings, self)
        warmup = min(round(settings.warmup_epochs * total / self.config.trainer.epochs), max(0, total - 1))
        schedule = warmup_cosine_schedule(optimizer, total_steps=total, warmup_steps=warmup)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
