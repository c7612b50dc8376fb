"""The linear probe: logistic regression on frozen features."""

import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from hssl.evaluation.labelled_features import ProbeResult, check_same_width, labelled

# Fixed, never tuned: a value chosen on the test set would be part of the training. scikit-learn's C is the weight of
# the summed cross-entropy against half the squared norm of the weights.
INVERSE_REGULARISATION = 1.0
MAX_ITERATIONS = 500


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
    model = LogisticRegression(C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaler.transform(chosen.features), chosen.labels)
    # A probe that was stopped is told in words in its protocol, where a warning would scroll away.
    stopped = f", stopped after {MAX_ITERATIONS} iterations" if int(model.n_iter_.max()) >= MAX_ITERATIONS else ""
    return ProbeResult(
        100.0 * float(model.score(scaler.transform(test.features), test.labels)),
        f"logistic regression on standardised frozen features, C = {INVERSE_REGULARISATION:g}, "
        f"{len(chosen)} training images{stopped}",
    )
