"""The linear probe: logistic regression on frozen features."""

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor

from hssl.evaluation.labelled_features import ProbeResult, check_same_width, labelled

# Fixed, never tuned: a value chosen on the test set would be part of the training. scikit-learn's C is the weight of
# the summed cross-entropy against half the squared norm of the weights.
INVERSE_REGULARISATION = 1.0
MAX_ITERATIONS = 500
REGRESSION = f"logistic regression on standardised frozen features, C = {INVERSE_REGULARISATION:g}"


def linear_probe(
    train_features: Tensor,
    train_labels: Tensor | None,
    test_features: Tensor,
    test_labels: Tensor | None,
    *,
    max_train: int = 10_000,
    seed: int,
) -> ProbeResult:
    """Accuracy of multinomial logistic regression (L2, C = 1, L-BFGS) on standardised features.

    Mean and variance for the standardisation come from the training features. This is not the paper's readout, which
    has a convolution of its own (appendix B); both are reported, each under its own name.

    Args:
        train_features, test_features: [N, D], from a frozen network.
        train_labels, test_labels: [N].
        max_train: training examples at most; a larger set is cut to a balanced choice by `seed`.
        seed: of that choice; nothing else here is random.

    Raises:
        DataError: no labels, one class only, features that are not finite, widths that differ.
    """
    train, test = labelled(train_features, train_labels, "training"), labelled(test_features, test_labels, "test")
    check_same_width(train, test)
    chosen = train.balanced_choice(max_train, seed)
    scaler = StandardScaler().fit(chosen.features)
    model = fit_regression(scaler.transform(chosen.features), chosen.labels)
    return ProbeResult(
        100.0 * float(model.score(scaler.transform(test.features), test.labels)),
        f"{REGRESSION}, {len(chosen)} training images{stopped(model)}",
    )


def fit_regression(features: NDArray[np.float32], labels: NDArray[np.int64]) -> LogisticRegression:
    """Multinomial logistic regression as every probe here fits it, on standardised features [N, D].

    On one thread. The products of a step are small, and threads wait for one another after each: on cores that other
    runs use too, two threads were 10 to 20 times as slow as one. It also makes the fit the same on any machine's cores.
    """
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)


def stopped(*models: LogisticRegression) -> str:
    """For a protocol: that a fit ran out of iterations, where a warning would scroll away."""
    ran_out = any(int(model.n_iter_.max()) >= MAX_ITERATIONS for model in models)
    return f", stopped after {MAX_ITERATIONS} iterations" if ran_out else ""
