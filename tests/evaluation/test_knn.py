"""kNN votes by cosine distance, nearer neighbours more."""

import pytest
import torch

from hssl.errors import DataError
from hssl.evaluation.knn import knn


def directions(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Five classes that differ in direction only; lengths vary a thousandfold and carry nothing."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 5
    points = torch.eye(5)[labels] + 0.15 * torch.randn(count, 5, generator=generator)
    return points * 10 ** (3 * torch.rand(count, 1, generator=generator)), labels


def test_directions_are_told_apart_whatever_the_length() -> None:
    result = knn(*directions(500), *directions(200, seed=1))
    assert result.accuracy > 98
    assert result.protocol.startswith("20 nearest neighbours")


def test_shuffled_labels_give_chance() -> None:
    (features, labels), test = directions(2000), directions(1000, seed=1)
    shuffled = labels[torch.randperm(2000, generator=torch.Generator().manual_seed(5))]
    assert knn(features, shuffled, *test).accuracy == pytest.approx(20, abs=8)


def test_the_vote_equals_the_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    train, test = torch.randn(150, 6, generator=generator), torch.randn(801, 6, generator=generator)
    labels, truth = torch.randint(3, (150,), generator=generator), torch.randint(3, (801,), generator=generator)
    distance = 1 - torch.nn.functional.normalize(test) @ torch.nn.functional.normalize(train).T
    nearest, index = distance.topk(7, largest=False)
    votes = torch.zeros(801, 3).scatter_add_(1, labels[index], 1 / nearest)
    expected = 100 * (votes.argmax(1) == truth).float().mean().item()
    assert knn(train, labels, test, truth, neighbours=7).accuracy == pytest.approx(expected, abs=1e-4)
    assert knn(train, labels, test, truth, neighbours=1).accuracy != pytest.approx(expected, abs=1e-4)


def test_an_example_is_its_own_nearest_neighbour() -> None:
    """A distance of zero outweighs all others and does not divide by zero."""
    generator = torch.Generator().manual_seed(0)
    features, labels = torch.randn(100, 6, generator=generator), torch.randint(2, (100,), generator=generator)
    assert knn(features, labels, features, labels, neighbours=20).accuracy == 100


def test_bad_input_is_named() -> None:
    features, labels = directions(10)
    with pytest.raises(DataError, match="20 neighbours, 10 training images"):
        knn(features, labels, features, labels)
    with pytest.raises(DataError, match="accepted: 1 to 10"):
        knn(features, labels, features, labels, neighbours=0)
    with pytest.raises(DataError, match="one class"):
        knn(features, torch.ones(10, dtype=torch.long), features, labels, neighbours=3)
    with pytest.raises(DataError, match="training diverged"):
        knn(features / 0, labels, features, labels, neighbours=3)
    with pytest.raises(DataError, match="no labels"):
        knn(features, labels, features, None, neighbours=3)
