"""The linear probe finds what is linearly there, and nothing where there is nothing."""

import pytest
import torch
from torch import Tensor

from hssl.errors import DataError
from hssl.evaluation.labelled_features import LabelledFeatures, labelled
from hssl.evaluation.linear_probe import linear_probe


def clusters(count: int, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Well separated Gaussian clusters in 8 dimensions, of very different scale by dimension."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = 6 * torch.randn(classes, 8, generator=torch.Generator().manual_seed(99))
    return (centres[labels] + torch.randn(count, 8, generator=generator)) * 10.0 ** torch.arange(-3, 5), labels


def test_separable_features_are_read() -> None:
    train, test = clusters(400), clusters(200, seed=1)
    result = linear_probe(*train, *test, seed=0)
    assert result.accuracy > 98
    assert "400 training images" in result.protocol
    assert "C = 1" in result.protocol


def test_shuffled_labels_give_chance() -> None:
    (features, labels), test = clusters(2000), clusters(1000, seed=1)
    shuffled = labels[torch.randperm(2000, generator=torch.Generator().manual_seed(5))]
    assert linear_probe(features, shuffled, *test, seed=0).accuracy == pytest.approx(25, abs=12)


def test_a_nonlinear_rule_is_not_read() -> None:
    """The probe is linear: exclusive or stays at chance, although a network could learn it."""
    features = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    labels = (features[:, 0] * features[:, 1] > 0).long()
    assert linear_probe(features[:1000], labels[:1000], features[1000:], labels[1000:], seed=0).accuracy < 65


def test_the_seed_decides_the_choice_and_nothing_else() -> None:
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(600, 8, generator=generator), torch.arange(600) % 4
    test = torch.randn(300, 8, generator=generator), torch.arange(300) % 4
    first = linear_probe(features, labels, *test, max_train=100, seed=0)
    assert first == linear_probe(features, labels, *test, max_train=100, seed=0)
    assert first.accuracy != linear_probe(features, labels, *test, max_train=100, seed=1).accuracy
    assert "100 training images" in first.protocol


def test_the_choice_is_balanced_as_far_as_the_classes_go() -> None:
    labels = torch.tensor([0] * 500 + [1] * 500 + [2] * 7)
    data = labelled(torch.arange(1007.0)[:, None], labels, "training")
    chosen = data.balanced_choice(107, seed=3)
    assert [int((chosen.labels == name).sum()) for name in range(3)] == [50, 50, 7]
    # Features and labels stay together.
    assert all(
        int(labels[int(value)]) == name for value, name in zip(chosen.features[:, 0], chosen.labels, strict=True)
    )
    assert isinstance(chosen, LabelledFeatures)


def test_a_probe_that_was_stopped_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hssl.evaluation.linear_probe.MAX_ITERATIONS", 2)
    assert "stopped after 2 iterations" in linear_probe(*clusters(100), *clusters(50), seed=0).protocol
    monkeypatch.undo()
    assert "stopped" not in linear_probe(*clusters(100), *clusters(50), seed=0).protocol


def test_bad_features_are_named() -> None:
    features, labels = clusters(100)
    broken = features.clone()
    broken[3, 2] = float("nan")
    with pytest.raises(DataError, match="training diverged"):
        linear_probe(broken, labels, features, labels, seed=0)
    with pytest.raises(DataError, match="the test features are not finite"):
        linear_probe(features, labels, broken, labels, seed=0)
    with pytest.raises(DataError, match="no labels"):
        linear_probe(features, None, features, labels, seed=0)
    with pytest.raises(DataError, match="one class"):
        linear_probe(features, torch.zeros(100, dtype=torch.long), features, labels, seed=0)
    with pytest.raises(DataError, match="do not belong together"):
        linear_probe(features, labels[:-1], features, labels, seed=0)
    with pytest.raises(DataError, match="differ in width"):
        linear_probe(features, labels, features[:, :3], labels, seed=0)
