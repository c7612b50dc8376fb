"""k nearest neighbours on frozen features: a measure that has nothing to train."""

from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from hssl.errors import DataError
from hssl.evaluation.labelled_features import ProbeResult, check_same_width, labelled


def knn(
    train_features: Tensor,
    train_labels: Tensor | None,
    test_features: Tensor,
    test_labels: Tensor | None,
    *,
    neighbours: int = 20,
) -> ProbeResult:
    """Accuracy of a vote of the nearest training examples in cosine distance, each with the weight 1 / distance.

    Distances are computed in blocks, so that 10,000 test examples against 60,000 stay within about a gigabyte.

    Args:
        train_features, test_features: [N, D], from a frozen network.
        train_labels, test_labels: [N].
        neighbours: k, at most the number of training examples.

    Raises:
        DataError: as for the linear probe, or more neighbours than training examples.
    """
    train, test = labelled(train_features, train_labels, "training"), labelled(test_features, test_labels, "test")
    check_same_width(train, test)
    if not 1 <= neighbours <= len(train):
        raise DataError(
            "the number of neighbours does not fit the training set",
            arrived=f"{neighbours} neighbours, {len(train)} training images",
            accepted=f"1 to {len(train)}",
            remedy="set evaluation.knn_neighbours, or train on more images",
        )
    model = KNeighborsClassifier(n_neighbors=neighbours, metric="cosine", weights="distance", algorithm="brute")
    model.fit(train.features, train.labels)
    return ProbeResult(
        100.0 * float(model.score(test.features, test.labels)),
        f"{neighbours} nearest neighbours, cosine distance, weighted by 1/distance, {len(train)} training images",
    )
