"""The paper's readout: a small classifier on detached features, here trained after the network (appendix B)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from hssl.data.store import Store
from hssl.errors import DataError
from hssl.evaluation.feature_store import FeatureStore

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4


def fit_readout(readout: nn.Module, features: FeatureStore, *, epochs: int, batch_size: int, seed: int) -> None:
    """Trains a readout in place on frozen features: AdamW (1e-3, decay 1e-4), cosine to zero, cross-entropy.

    The initial weights are the caller's. On return the readout is in eval mode. Every epoch reads the same features:
    there is no augmentation.

    Args:
        readout: features to logits [B, classes], on the features' device.
        features: of the training images, with labels.
        epochs: passes over them.
        batch_size: examples a step.
        seed: of the order of the examples.

    Raises:
        DataError: no labels, or a loss that is not finite.
    """
    labels = _labels(features)
    device = features.device
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(readout.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * len(list(_batches(torch.arange(len(features)), batch_size)))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, steps))
    readout.train()
    for epoch in range(epochs):
        total = torch.zeros((), device=device)
        for indices in _batches(torch.randperm(len(features), generator=generator), batch_size):
            chosen = indices.to(device)
            loss = nn.functional.cross_entropy(readout(features.batch(chosen)).float(), labels[chosen])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.detach()
        if not torch.isfinite(total):
            raise _diverged(f"a readout loss of {total.item()} in epoch {epoch}")
    readout.eval()


def readout_accuracy(predict: Callable[[Tensor], Tensor], store: Store, batch_size: int = 256) -> float:
    """Top-1 accuracy in percent over all images of a store (micro average), as in tables 1 and 2 of the paper.

    Args:
        predict: what the store's batches hold, images or features, to logits [B, classes], in eval mode.
        store: images, or features of images, with labels.

    Raises:
        DataError: no labels, a label that the readout has no output for, or logits that are not finite.
    """
    labels = _labels(store)
    metric: MulticlassAccuracy | None = None
    with torch.inference_mode():
        for indices in torch.split(torch.arange(len(store), device=store.device), batch_size):
            logits = predict(store.batch(indices)).float()
            if not torch.isfinite(logits).all():
                raise _diverged("logits with NaN or infinity")
            if metric is None:
                classes = logits.shape[1]
                if int(labels.max()) >= classes:
                    raise DataError(
                        "a label has no output in the readout",
                        got=f"label {int(labels.max())}",
                        expected=f"0 to {classes - 1}",
                        hint="evaluate on the data set that the readout was trained on",
                    )
                # Not over ranks: whoever measures a run measures all of its images.
                metric = MulticlassAccuracy(num_classes=classes, average="micro", sync_on_compute=False).to(
                    logits.device
                )
            metric.update(logits, labels[indices])
    if metric is None:
        raise DataError("there are no images to evaluate on", expected="a store with one image or more")
    return 100.0 * float(metric.compute())


def _labels(store: Store) -> Tensor:
    if store.labels is None:
        raise DataError(
            "the images have no labels, and a readout needs them",
            expected="data with labels",
            hint="use a folder with one sub-folder a class; training without labels needs no readout",
        )
    return store.labels


def _diverged(what: str) -> DataError:
    return DataError(
        "the features or the readout are not finite: the training diverged",
        got=what,
        hint="look at train/loss in metrics.jsonl; lower optimizer.learning_rate or train with trainer.precision 32",
    )


def _batches(order: Tensor, batch_size: int) -> Iterator[Tensor]:
    for indices in torch.split(order, batch_size):
        # BatchNorm has no statistics of a single example; another epoch's order brings the one left over back in.
        if indices.numel() > 1 or order.numel() == 1:
            yield indices
