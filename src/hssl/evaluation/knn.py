"""k nearest neighbours on frozen features: a measure that has nothing to train."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from hssl.errors import DataError
from hssl.evaluation.labelled_features import LabelledFeatures, ProbeResult, check_same_width, labelled

# Cosines at once: 64 MiB.
_BLOCK = 2**24


def knn(
    train_features: Tensor,
    train_labels: Tensor | None,
    test_features: Tensor,
    test_labels: Tensor | None,
    *,
    neighbours: int = 20,
    standardise: bool = True,
) -> ProbeResult:
    """Accuracy of a vote of the nearest training examples in cosine distance, each with the weight 1 / distance.

    What scikit-learn's KNeighborsClassifier gives with these settings, and the twin in the tests: training examples at
    distance 0 vote alone, and of classes with equal votes the first wins. It partitions whole rows of distances, which
    costs more than the distances where features are narrow; here only the k largest cosines leave a block.

    Args:
        train_features, test_features: [N, D], from a frozen network.
        train_labels, test_labels: [N].
        neighbours: k, at most the number of training examples.
        standardise: give each feature mean 0 and variance 1 over the training examples, as the linear probe does, since
            a feature's size and mean are its BatchNorm's choice. Without it, the angles are those of the features as
            they are.

    Raises:
        DataError: as for the linear probe, or more neighbours than training examples.
    """
    train, test = labelled(train_features, train_labels, "training"), labelled(test_features, test_labels, "test")
    check_same_width(train, test)
    if not 1 <= neighbours <= len(train):
        raise DataError(
            "the number of neighbours does not fit the training set",
            got=f"{neighbours} neighbours, {len(train)} training images",
            expected=f"1 to {len(train)}",
            hint="set evaluation.knn_neighbours, or train on more images",
        )
    if standardise:
        scaler = StandardScaler().fit(train.features)
        train, test = (LabelledFeatures(scaler.transform(part.features), part.labels) for part in (train, test))
    kind = "standardised" if standardise else "raw"
    return ProbeResult(
        100.0 * float((_vote(train, test, neighbours) == test.labels).mean()),
        f"{neighbours} nearest neighbours of {kind} frozen features, cosine distance, weighted by 1/distance, "
        f"{len(train)} training images",
    )


def _vote(train: LabelledFeatures, test: LabelledFeatures, neighbours: int) -> NDArray[np.int64]:
    """The class that each test example is given, int64 [N]."""
    names, classes = np.unique(train.labels, return_inverse=True)
    class_of = torch.from_numpy(classes)
    among, asking = _unit(train), _unit(test)
    given = []
    for rows in torch.split(asking, max(1, _BLOCK // len(among))):
        cosine, index = (rows @ among.T).topk(neighbours, dim=1, sorted=False)
        distance = (1 - cosine).clamp(min=0).double()
        equal = distance == 0
        weight = torch.where(equal.any(dim=1, keepdim=True), equal.double(), 1 / distance)
        votes = torch.zeros(len(rows), len(names), dtype=torch.float64).scatter_add_(1, class_of[index], weight)
        # NumPy promises the first of equals, torch promises none.
        given.append(names[votes.numpy().argmax(axis=1)])
    return np.concatenate(given)


def _unit(data: LabelledFeatures) -> Tensor:
    return functional.normalize(torch.from_numpy(data.features), dim=1, eps=torch.finfo(torch.float32).tiny)
