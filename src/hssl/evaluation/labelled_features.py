"""What every probe asks of its input: finite features with labels, and a balanced, seeded choice of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hssl.errors import DataError


@dataclass(frozen=True)
class ProbeResult:
    """What a probe measured, and how, so that the number is never read under a wrong name."""

    accuracy: float
    """Top-1 accuracy on the test set in percent."""
    protocol: str


@dataclass(frozen=True)
class LabelledFeatures:
    """Features [N, D] with labels [N] that were checked."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def balanced_choice(self, size: int, seed: int) -> "LabelledFeatures":
        """At most `size` examples, as many of each class as there are to be had, chosen by `seed`."""
        if len(self) <= size:
            return self
        order = np.random.default_rng(seed).permutation(len(self))
        rank = np.empty(len(self), dtype=np.int64)
        for name in np.unique(self.labels):
            of_class = order[self.labels[order] == name]
            rank[of_class] = np.arange(len(of_class))
        chosen = np.sort(order[np.argsort(rank[order], kind="stable")[:size]])
        return LabelledFeatures(self.features[chosen], self.labels[chosen])


def labelled(features: Tensor, labels: Tensor | None, split: str) -> LabelledFeatures:
    """Checked features of a split ('training' or 'test').

    Raises:
        DataError: no labels, counts that differ, no examples, features that are not finite, one class only (training).
    """
    if labels is None:
        raise DataError(
            f"the {split} images have no labels, and a probe needs them",
            expected="data with labels",
            hint="skip this measure, or use a folder with one sub-folder a class",
        )
    if features.ndim != 2 or features.shape[0] != labels.numel() or features.shape[0] == 0:
        raise DataError(
            f"the {split} features and labels do not belong together",
            got=f"features {list(features.shape)}, labels {list(labels.shape)}",
            expected="features [N, D] and labels [N], N >= 1",
        )
    values = features.detach().float().cpu().numpy()
    check_finite(features, f"the {split} features")
    names: NDArray[Any] = labels.detach().cpu().numpy().astype(np.int64)
    if split == "training" and len(np.unique(names)) < 2:
        raise DataError(
            "all training images are of one class, so there is nothing to tell apart",
            got=f"class {names[0]} only",
            expected="two classes or more",
        )
    return LabelledFeatures(values, names)


def check_finite(features: Tensor, what: str) -> None:
    """Raises DataError where a feature vector [D] of features [N, D] holds NaN or infinity."""
    broken = int((~torch.isfinite(features)).any(dim=1).sum())
    if broken:
        raise DataError(
            f"{what} are not finite: the training diverged",
            got=f"NaN or infinity in {broken} of {len(features)} feature vectors",
            hint="look at train/loss in metrics.jsonl; lower optimizer.learning_rate, lengthen "
            "optimizer.warmup_epochs, or train with trainer.precision 32",
        )


def check_same_width(train: LabelledFeatures, test: LabelledFeatures) -> None:
    """Raises DataError where training and test features come from different networks."""
    if train.features.shape[1] != test.features.shape[1]:
        raise DataError(
            "training and test features differ in width",
            got=f"{train.features.shape[1]} and {test.features.shape[1]}",
            expected="features of one network",
        )
