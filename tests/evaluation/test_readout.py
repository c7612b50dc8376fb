"""The readout learns what is in the features, by seed, and counts right answers in percent."""

import pytest
import torch
from torch import Tensor, nn

from hssl.data import ImageStore
from hssl.errors import DataError
from hssl.evaluation.feature_store import FeatureStore
from hssl.evaluation.readout import fit_readout, readout_accuracy


def striped(count: int, labels: Tensor | None = None) -> ImageStore:
    """Images with one bright row each; the row is the class."""
    rows = torch.arange(count) % 4
    images = torch.randint(120, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[torch.arange(count), 0, rows * 2] += 100
    return ImageStore(images, rows if labels is None else labels, torch.zeros(1), torch.ones(1), ("a", "b", "c", "d"))


def flat(images: Tensor) -> Tensor:
    return images.flatten(1)


def reader(normalised: bool = False) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm1d(64), nn.Linear(64, 4)) if normalised else nn.Linear(64, 4)


def fitted(readout: nn.Module, store: ImageStore, **changes: int) -> nn.Module:
    settings = {"epochs": 30, "batch_size": 50, "seed": 0} | changes
    fit_readout(readout, FeatureStore(flat, store), **settings)
    return readout


def test_it_learns_what_is_there() -> None:
    store = striped(400)
    before = reader()
    assert readout_accuracy(lambda x: before(flat(x)), store) < 60
    after = fitted(reader(), store)
    assert not after.training
    assert readout_accuracy(lambda x: after(flat(x)), store) > 98


def test_shuffled_labels_give_chance_on_other_images() -> None:
    shuffled = torch.arange(400)[torch.randperm(400, generator=torch.Generator().manual_seed(3))] % 4
    after = fitted(reader(), striped(400, shuffled))
    assert readout_accuracy(lambda x: after(flat(x)), striped(800)) == pytest.approx(25, abs=15)


def test_the_seed_decides() -> None:
    store = striped(200)
    first, again, other = (fitted(reader(), store, epochs=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)


def test_features_kept_in_memory_give_the_same_readout_as_features_computed_anew() -> None:
    calls = 0

    def counted(images: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return flat(images)

    weights, counts = [], []
    for room in (2**30, 0):
        calls, readout = 0, reader()
        features = FeatureStore(counted, striped(200), room=room)
        fit_readout(readout, features, epochs=3, batch_size=50, seed=0)
        weights.append(readout.weight)
        counts.append(calls)
    assert torch.equal(weights[0], weights[1])
    assert counts == [1 + 1, 1 + 3 * 4]


def test_the_network_below_stays_frozen() -> None:
    below = nn.Linear(64, 64)
    before = below.weight.clone()
    features = FeatureStore(lambda x: below(flat(x)), striped(100))
    fit_readout(reader(), features, epochs=1, batch_size=50, seed=0)
    assert torch.equal(below.weight, before)
    assert below.weight.grad is None


def test_one_left_over_example_does_not_stop_batch_norm() -> None:
    fitted(reader(normalised=True), striped(101), epochs=1, batch_size=50)


def test_accuracy_is_micro_and_in_percent() -> None:
    labels = torch.tensor([0] * 6 + [1, 2])
    constant = torch.eye(4)[0]
    # Six of eight; a macro average would give 33.3.
    assert readout_accuracy(lambda x: constant.expand(len(x), 4), striped(8, labels), batch_size=3) == pytest.approx(75)


def test_bad_input_is_named() -> None:
    unlabelled = ImageStore(striped(8).images, None, torch.zeros(1), torch.ones(1), ())
    with pytest.raises(DataError, match="no labels"):
        fitted(reader(), unlabelled)
    with pytest.raises(DataError, match="no labels"):
        readout_accuracy(lambda x: flat(x), unlabelled)
    broken = FeatureStore(lambda x: flat(x) * float("nan"), striped(8))
    with pytest.raises(DataError, match="training diverged"):
        fit_readout(reader(), broken, epochs=1, batch_size=4, seed=0)
    with pytest.raises(DataError, match="training diverged"):
        readout_accuracy(lambda x: torch.full((len(x), 4), float("nan")), striped(8))
    with pytest.raises(DataError, match="expected: 0 to 1"):
        readout_accuracy(lambda x: torch.zeros(len(x), 2), striped(8))
