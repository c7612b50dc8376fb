"""kNN votes by cosine distance, nearer neighbours more."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from hssl.errors import DataError
from hssl.evaluation.knn import _vote, knn
from hssl.evaluation.labelled_features import labelled


def directions(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Five classes that differ in direction only; lengths vary a thousandfold and carry nothing."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 5
    points = torch.eye(5)[labels] + 0.15 * torch.randn(count, 5, generator=generator)
    return points * 10 ** (3 * torch.rand(count, 1, generator=generator)), labels


def test_directions_are_told_apart_whatever_the_length() -> None:
    result = knn(*directions(500), *directions(200, seed=1), standardise=False)
    assert result.accuracy > 98
    assert result.protocol.startswith("20 nearest neighbours")


def test_shuffled_labels_give_chance() -> None:
    (features, labels), test = directions(2000), directions(1000, seed=1)
    shuffled = labels[torch.randperm(2000, generator=torch.Generator().manual_seed(5))]
    assert knn(features, shuffled, *test, standardise=False).accuracy == pytest.approx(20, abs=8)


def test_the_vote_equals_the_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    train, test = torch.randn(150, 6, generator=generator), torch.randn(801, 6, generator=generator)
    labels, truth = torch.randint(3, (150,), generator=generator), torch.randint(3, (801,), generator=generator)
    distance = 1 - torch.nn.functional.normalize(test) @ torch.nn.functional.normalize(train).T
    nearest, index = distance.topk(7, largest=False)
    votes = torch.zeros(801, 3).scatter_add_(1, labels[index], 1 / nearest)
    expected = 100 * (votes.argmax(1) == truth).float().mean().item()
    assert knn(train, labels, test, truth, neighbours=7, standardise=False).accuracy == pytest.approx(
        expected, abs=1e-4
    )
    assert knn(train, labels, test, truth, neighbours=1, standardise=False).accuracy != pytest.approx(
        expected, abs=1e-4
    )


def features_of(kind: str, count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if kind == "tied":
        # Along the axes: distances are exactly 0 or 1.
        return 2 * torch.eye(9)[torch.randint(9, (count,), generator=generator)]
    # Wide enough that no two of them lie along one axis behind a ReLU: equal features would tie for the last place.
    features = torch.randn(count, 40, generator=generator)
    return features.relu() if kind == "behind a ReLU" else features


@pytest.mark.parametrize("kind", ["any", "behind a ReLU", "tied"])
@pytest.mark.parametrize("block", [1, 4_000, 2**24])
def test_the_vote_equals_that_of_scikit_learn(kind: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hssl.evaluation.knn._BLOCK", block)
    generator = torch.Generator().manual_seed(2)
    train, test = features_of(kind, 400, 0), features_of(kind, 300, 1)
    labels, truth = (torch.randint(4, (count,), generator=generator) * 3 + 1 for count in (400, 300))
    train[5] = 0
    if kind == "tied":
        test[7] = 0
    # With ties, which of the equal neighbours are the nearest is anyone's choice: all of them are asked.
    neighbours = 400 if kind == "tied" else 11
    twin = KNeighborsClassifier(n_neighbors=neighbours, metric="cosine", weights="distance", algorithm="brute")
    twin.fit(train.numpy(), labels.numpy())
    given = _vote(labelled(train, labels, "training"), labelled(test, truth, "test"), neighbours)
    assert np.array_equal(given, twin.predict(test.numpy()))
    accuracy = knn(train, labels, test, truth, neighbours=neighbours, standardise=False).accuracy
    assert accuracy == pytest.approx(100 * twin.score(test.numpy(), truth.numpy()))
    # The control: the vote without weights is another one.
    twin.set_params(weights="uniform")
    assert not np.array_equal(given, twin.predict(test.numpy()))


def test_an_example_is_its_own_nearest_neighbour() -> None:
    """A distance of zero outweighs all others and does not divide by zero."""
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(100, 6, generator=generator), torch.randint(2, (100,), generator=generator)
    assert knn(features, labels, features, labels, neighbours=20).accuracy == 100


def test_examples_at_no_distance_vote_alone_and_count_one_each() -> None:
    """Two against one, however many others there are: neither a large weight nor an infinite one would say so."""
    axes = torch.eye(2)
    features = torch.cat([axes[[0, 0, 0]] * 2, axes[[1] * 3000]])
    labels = torch.tensor([1, 1, 0] + [0] * 3000)
    assert knn(features, labels, axes[:1], torch.tensor([1]), neighbours=3003, standardise=False).accuracy == 100


def test_a_feature_counts_the_same_whatever_its_size_and_mean() -> None:
    generator = torch.Generator().manual_seed(3)
    labels, truth = (torch.randint(4, (count,), generator=generator) for count in (400, 200))
    train, test = (
        torch.eye(8)[part] + 0.3 * torch.randn(len(part), 8, generator=generator) for part in (labels, truth)
    )
    shift, size = torch.full((8,), 50.0), torch.logspace(-3, 3, 8)
    moved = [(part + shift) * size for part in (train, test)]
    plain = knn(train, labels, test, truth)
    assert knn(moved[0], labels, moved[1], truth).accuracy == pytest.approx(plain.accuracy, abs=1)
    assert plain.accuracy > 95
    # The control: raw cosines see little but the common shift.
    assert knn(moved[0], labels, moved[1], truth, standardise=False).accuracy < 60
    assert "standardised" in plain.protocol


def test_bad_input_is_named() -> None:
    features, labels = directions(10)
    with pytest.raises(DataError, match="20 neighbours, 10 training images"):
        knn(features, labels, features, labels)
    with pytest.raises(DataError, match="expected: 1 to 10"):
        knn(features, labels, features, labels, neighbours=0)
    with pytest.raises(DataError, match="one class"):
        knn(features, torch.ones(10, dtype=torch.long), features, labels, neighbours=3)
    with pytest.raises(DataError, match="training diverged"):
        knn(features / 0, labels, features, labels, neighbours=3)
    with pytest.raises(DataError, match="no labels"):
        knn(features, labels, features, None, neighbours=3)
