"""The probe from few labels: what a network's features are worth where hardly any image has a name."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from hssl.errors import DataError
from hssl.evaluation.labelled_features import ProbeResult, check_same_width, labelled
from hssl.evaluation.linear_probe import REGRESSION, fit_regression, stopped

# Any number would do. It is fixed, so that all runs on a data set are asked the same ten questions.
_DRAWS_SEED = 20_260


@dataclass(frozen=True)
class FewLabelsResult(ProbeResult):
    """The mean accuracy over draws of labelled images, with how far apart the draws are."""

    deviation: float
    """Sample standard deviation over the draws, in percentage points; 0 for one draw. The draws share their test
    images, so it tells how much the choice of the labels matters, not how exact the mean is."""
    draws: int


def few_labels(
    train_features: Tensor,
    train_labels: Tensor | None,
    test_features: Tensor,
    test_labels: Tensor | None,
    *,
    per_class: int = 10,
    draws: int = 10,
) -> FewLabelsResult:
    """Mean accuracy of logistic regressions fitted on a few labelled training images a class.

    The regression is that of `linear_probe` (L2, C = 1, L-BFGS). Mean and variance for the standardisation come from
    all training features, not from the chosen ones: labels are scarce, images are not, and the variances of a hundred
    features would be an error of their own. The draws are `choice`'s: they know nothing of the run or its seed, so
    that runs on one data set are compared on the same labelled images.

    Args:
        train_features, test_features: [N, D], from a frozen network, in the order of the data set.
        train_labels, test_labels: [N].
        per_class: labelled images a class; a class with fewer gives what it has, and the protocol says so.
        draws: how many choices of labelled images the mean is taken over.

    Raises:
        DataError: as for the linear probe, or fewer than one image or draw.
    """
    train, test = labelled(train_features, train_labels, "training"), labelled(test_features, test_labels, "test")
    check_same_width(train, test)
    if per_class < 1 or draws < 1:
        raise DataError(
            "a probe from few labels needs labelled images and draws of them",
            got=f"{per_class} images a class, {draws} draws",
            expected="1 or more of each",
        )
    scaler = StandardScaler().fit(train.features)
    seen = scaler.transform(test.features)
    models, accuracies = [], []
    for draw in range(draws):
        chosen = choice(train.labels, per_class, draw)
        model = fit_regression(scaler.transform(train.features[chosen]), train.labels[chosen])
        models.append(model)
        accuracies.append(100.0 * float(model.score(seen, test.labels)))
    counts = np.unique(train.labels, return_counts=True)[1]
    short = int((counts < per_class).sum())
    fewer = f" ({short} of {len(counts)} classes have fewer and give all)" if short else ""
    deviation = float(np.std(accuracies, ddof=1)) if draws > 1 else 0.0
    return FewLabelsResult(
        float(np.mean(accuracies)),
        f"{REGRESSION}, {per_class} labelled training images a class{fewer}, standardised by all "
        f"{len(train)} training images, mean of {draws} fixed draws{stopped(*models)}",
        deviation,
        draws,
    )


def choice(labels: NDArray[np.int64], per_class: int, draw: int) -> NDArray[np.int64]:
    """Which images are labelled in a draw: at most `per_class` of each class, int64 indices in increasing order.

    Depends on the labels in their order, on `draw` and on nothing else; what is chosen of a class does not depend on
    the other classes. Draws are independent, so two of them may share images.
    """
    chosen = []
    for name in np.unique(labels):
        members = np.flatnonzero(labels == name)
        # NumPy promises the raw stream of a bit generator for all versions to come, but not how it permutes with it.
        keys = np.random.PCG64([_DRAWS_SEED, draw, int(name)]).random_raw(len(members))
        chosen.append(members[np.argsort(keys, kind="stable")[:per_class]])
    return np.sort(np.concatenate(chosen))
