"""The probe from few labels: the same labelled images for every run, and a mean over draws that differ."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from hssl.errors import DataError
from hssl.evaluation.few_labels import choice, few_labels
from hssl.evaluation.linear_probe import linear_probe


def clusters(count: int, classes: int = 4, seed: int = 0, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Gaussian clusters in 8 dimensions, of very different scale by dimension."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = 6 * torch.randn(classes, 8, generator=torch.Generator().manual_seed(99))
    return (centres[labels] + spread * torch.randn(count, 8, generator=generator)) * 10.0 ** torch.arange(-3, 5), labels


def test_separable_features_are_read_from_ten_labels_a_class() -> None:
    result = few_labels(*clusters(400), *clusters(200, seed=1))
    assert result.accuracy > 98
    assert "10 labelled training images a class" in result.protocol
    assert "400 training images" in result.protocol
    assert result.draws == 10


def test_shuffled_labels_give_chance() -> None:
    # Hardly clustered: the images of a cluster all get one answer, and whether it is right would be four coins a draw.
    (features, labels), test = clusters(2000, spread=60.0), clusters(1000, seed=1, spread=60.0)
    shuffled = labels[torch.randperm(2000, generator=torch.Generator().manual_seed(5))]
    assert few_labels(features, shuffled, *test).accuracy == pytest.approx(25, abs=3)


def test_few_labels_know_less_than_many() -> None:
    train, test = clusters(2000, spread=6.0), clusters(1000, seed=1, spread=6.0)
    few, some = few_labels(*train, *test, per_class=3), few_labels(*train, *test, per_class=30)
    assert few.accuracy + 3 < some.accuracy < linear_probe(*train, *test, seed=0).accuracy + 1
    assert some.deviation < few.deviation


@pytest.mark.parametrize("classes", [2, 7, 200])
def test_it_is_the_mean_of_the_definition(classes: int) -> None:
    train, test = clusters(classes * 20, classes, spread=4.0), clusters(400, classes, seed=1, spread=4.0)
    result = few_labels(*train, *test, per_class=4, draws=2)
    features, labels = train[0].double().numpy(), train[1].numpy()
    mean, std = features.mean(0), features.std(0)
    accuracies = []
    for draw in range(2):
        chosen = choice(labels, 4, draw)
        model = LogisticRegression(C=1.0, max_iter=500).fit((features[chosen] - mean) / std, labels[chosen])
        accuracies.append(100 * model.score((test[0].double().numpy() - mean) / std, test[1].numpy()))
    # In float64: an image on a border may go the other way.
    assert result.accuracy == pytest.approx(np.mean(accuracies), abs=0.5)
    assert result.deviation == pytest.approx(np.std(accuracies, ddof=1), abs=0.5)


def test_every_image_takes_part_in_the_standardisation() -> None:
    """Unlabelled images move the mean and the variance, and so the result; labels alone decide the draws."""
    (features, labels), test = clusters(400, spread=6.0), clusters(200, seed=1, spread=6.0)
    chosen = np.unique(np.concatenate([choice(labels.numpy(), 10, draw) for draw in range(10)]))
    others = torch.ones(400, dtype=torch.bool)
    others[torch.from_numpy(chosen)] = False
    assert others.any()
    moved = features.clone()
    moved[others] *= 30
    assert few_labels(moved, labels, *test) != few_labels(features, labels, *test)


def test_draws_are_balanced_differ_and_are_always_the_same() -> None:
    labels = torch.randint(5, (1000,), generator=torch.Generator().manual_seed(0)).numpy()
    draws = [choice(labels, 10, draw) for draw in range(10)]
    for draw in draws:
        assert np.bincount(labels[draw]).tolist() == [10] * 5
        assert (np.diff(draw) > 0).all()
    assert len({draw.tobytes() for draw in draws}) == 10
    torch.manual_seed(7)
    assert all(np.array_equal(choice(labels, 10, draw), draws[draw]) for draw in range(10))
    # Written down: a draw that changed would make records before and after incomparable.
    assert choice(np.arange(40) % 2, 3, 0).tolist() == [11, 12, 20, 22, 23, 35]


def test_what_is_chosen_of_a_class_depends_on_that_class_alone() -> None:
    labels = np.arange(300) % 3
    two = labels[labels != 1]
    places = np.flatnonzero(labels != 1)
    for draw in range(3):
        whole, part = choice(labels, 10, draw), choice(two, 10, draw)
        assert set(places[part]) == {index for index in whole if labels[index] != 1}


def test_fewer_labels_are_the_first_of_more() -> None:
    labels = np.arange(300) % 3
    assert set(choice(labels, 5, 0)) < set(choice(labels, 10, 0))


def test_a_class_with_fewer_images_gives_all_of_them_and_says_so() -> None:
    features, labels = clusters(404)
    rare = torch.where(labels == 3, torch.arange(404), torch.full((404,), -1)) >= 12
    kept = ~rare
    few = labels[kept]
    assert int((few == 3).sum()) == 3
    assert [int((few.numpy()[choice(few.numpy(), 10, 2)] == name).sum()) for name in range(4)] == [10, 10, 10, 3]
    result = few_labels(features[kept], few, *clusters(200, seed=1))
    assert "1 of 4 classes have fewer and give all" in result.protocol
    assert "fewer" not in few_labels(features, labels, *clusters(200, seed=1)).protocol
    everything = few_labels(features[:12], labels[:12], *clusters(200, seed=1))
    assert "4 of 4 classes have fewer" in everything.protocol
    assert everything.deviation == 0


def test_one_draw_has_no_deviation() -> None:
    assert few_labels(*clusters(400), *clusters(200, seed=1), draws=1).deviation == 0


def test_a_probe_that_was_stopped_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hssl.evaluation.linear_probe.MAX_ITERATIONS", 2)
    assert "stopped after 2 iterations" in few_labels(*clusters(100), *clusters(50)).protocol


def test_bad_input_is_named() -> None:
    features, labels = clusters(100)
    with pytest.raises(DataError, match="training diverged"):
        few_labels(features / 0, labels, features, labels)
    with pytest.raises(DataError, match="no labels"):
        few_labels(features, None, features, labels)
    with pytest.raises(DataError, match="one class"):
        few_labels(features, torch.zeros(100, dtype=torch.long), features, labels)
    with pytest.raises(DataError, match="differ in width"):
        few_labels(features, labels, features[:, :3], labels)
    with pytest.raises(DataError, match="0 images a class, 10 draws"):
        few_labels(features, labels, features, labels, per_class=0)
    with pytest.raises(DataError, match="10 images a class, 0 draws"):
        few_labels(features, labels, features, labels, draws=0)
