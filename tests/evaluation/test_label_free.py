"""Measures without labels against their definitions, and against features whose measure is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from hssl.backbones import MLP, ThreeLayer
from hssl.data import ImageStore
from hssl.errors import DataError, SizeError
from hssl.evaluation.label_free import (
    alignment,
    chance_agreement,
    effective_rank,
    label_free,
    measure,
    moves,
    neighbour_agreement,
    uniformity,
)
from hssl.groups import Dihedral, Group, Product, Rotations, Scales, Translations, Unstructured


def gaussian(count: int, width: int, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


# -- slow twins, from the definitions ----------------------------------------------------------------------------------


def unit(features: Tensor) -> NDArray[np.float64]:
    values = features.double().numpy()
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def naive_rank(features: Tensor) -> float:
    values = features.double().numpy()
    covariance = np.cov(values.T, bias=True)
    shares = np.sqrt(np.clip(np.linalg.eigvalsh(covariance), 0, None))
    shares = shares[shares > 0] / shares.sum()
    return math.exp(-sum(share * math.log(share) for share in shares))


def naive_uniformity(features: Tensor) -> float:
    points = unit(features)
    kernel = [
        math.exp(-2 * float(((one - other) ** 2).sum()))
        for index, one in enumerate(points)
        for other in points[index + 1 :]
    ]
    return math.log(sum(kernel) / len(kernel))


def naive_agreement(before: Tensor, after: Tensor, neighbours: int) -> float:
    originals, copies = unit(before), unit(after)
    shared = 0
    for index in range(len(originals)):
        others = [other for other in range(len(originals)) if other != index]

        near = [
            set(sorted(others, key=(originals @ point).__getitem__, reverse=True)[:neighbours])
            for point in (originals[index], copies[index])
        ]
        shared += len(near[0] & near[1])
    return shared / (len(originals) * neighbours)


def test_every_measure_equals_its_definition() -> None:
    before = gaussian(60, 7) * torch.arange(1, 8) + 2
    after = before + gaussian(60, 7, seed=1)
    found = measure(before, after, 5)
    assert found.effective_rank == pytest.approx(naive_rank(before), rel=1e-9)
    assert found.uniformity == pytest.approx(naive_uniformity(before), rel=1e-9)
    assert found.alignment == pytest.approx(float(((unit(before) - unit(after)) ** 2).sum(1).mean()), rel=1e-9)
    assert found.neighbour_agreement == pytest.approx(naive_agreement(before, after, 5))
    assert 0.1 < found.neighbour_agreement < 0.9
    assert (found.neighbours, found.images, found.neighbour_chance) == (5, 60, 5 / 59)
    assert found.as_dict()["effective_rank"] == found.effective_rank
    assert set(found.as_dict()) == {
        "effective_rank", "alignment", "uniformity", "neighbour_agreement", "neighbour_chance", "neighbours", "images"
    }  # fmt: skip


# -- features whose measure is known -----------------------------------------------------------------------------------


def test_the_effective_rank_counts_directions() -> None:
    assert effective_rank(gaussian(500, 1).double() * gaussian(1, 20, seed=1).double()) == pytest.approx(1, abs=1e-6)
    assert 19.5 < effective_rank(gaussian(2000, 20)) <= 20
    assert effective_rank(torch.eye(6)) == pytest.approx(5)
    # Half of the directions a thousandth as long.
    lengths = torch.tensor([1.0] * 10 + [1e-3] * 10)
    assert 9.5 < effective_rank(gaussian(2000, 20) * lengths) < 10.5


def test_the_effective_rank_ignores_the_mean_and_the_size() -> None:
    features = gaussian(300, 9)
    rank = effective_rank(features)
    assert effective_rank(features + 100) == pytest.approx(rank, rel=1e-4)
    assert effective_rank(features * 1000) == pytest.approx(rank, rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_collapsed_features_have_rank_and_uniformity_zero(value: float) -> None:
    collapsed = torch.full((50, 8), value)
    assert effective_rank(collapsed) == 0
    assert effective_rank(collapsed[:1]) == 0
    assert uniformity(collapsed) == pytest.approx(0, abs=1e-12)
    assert alignment(collapsed, collapsed) == 0


def test_uniform_directions_are_near_minus_four() -> None:
    # E exp(-2 |u - v|^2) = exp(-4) E exp(4 cos), and cos has variance 1 / D.
    assert uniformity(gaussian(2000, 512)) == pytest.approx(-4 + 8 / 512, abs=0.02)
    # Two rectified Gaussians have cosine 1 / pi: that much nearer to one another.
    assert uniformity(gaussian(2000, 512).relu()) == pytest.approx(-4 * (1 - 1 / math.pi), abs=0.02)


def test_alignment_is_zero_for_equal_directions_and_two_for_any() -> None:
    features = gaussian(1000, 200)
    assert alignment(features, features) == 0
    assert alignment(features, 7 * features) == pytest.approx(0, abs=1e-12)
    assert alignment(features, gaussian(1000, 200, seed=1)) == pytest.approx(2, abs=0.05)
    assert alignment(features, -features) == pytest.approx(4)


def test_invariant_features_agree_and_random_ones_do_so_by_chance() -> None:
    features = gaussian(500, 32)
    assert neighbour_agreement(features, features) == 1
    assert neighbour_agreement(features, 3 * features) == 1
    chance = chance_agreement(500)
    assert chance == 10 / 499
    random = neighbour_agreement(features, gaussian(500, 32, seed=1))
    assert random == pytest.approx(chance, abs=0.01)
    assert random < 2 * chance
    assert random < neighbour_agreement(features, features + 0.5 * gaussian(500, 32, seed=1)) < 1


def test_an_image_is_not_its_own_neighbour() -> None:
    """Each image is nearest to itself and its copy to the original: with both left out, two pairs change partners."""
    before = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    assert neighbour_agreement(before, before, 1) == 1
    assert neighbour_agreement(before, before.flip(1), 1) == 0


def test_all_are_deterministic_and_leave_the_number_of_threads() -> None:
    threads = torch.get_num_threads()
    before, after = gaussian(300, 16), gaussian(300, 16, seed=1)
    assert measure(before, after) == measure(before, after)
    assert torch.get_num_threads() == threads


def test_a_zero_vector_has_no_direction() -> None:
    features = gaussian(40, 5)
    features[3] = 0
    assert all(math.isfinite(value) for value in measure(features, features).as_dict().values())


def test_bad_input_is_named() -> None:
    features = gaussian(30, 4)
    with pytest.raises(DataError, match=r"\[30, 4\] and \[29, 4\]"):
        measure(features, features[1:])
    with pytest.raises(DataError, match="10 neighbours, 10 images"):
        neighbour_agreement(features[:10], features[:10])
    with pytest.raises(DataError, match="0 neighbours, 30 images"):
        neighbour_agreement(features, features, 0)
    broken = features.clone()
    broken[2, 1] = math.nan
    for call in (
        lambda: effective_rank(broken),
        lambda: uniformity(broken),
        lambda: alignment(broken, features),
        lambda: neighbour_agreement(broken, features),
    ):
        with pytest.raises(DataError, match=r"the features are not finite.*\n.*1 of 30"):
            call()
    with pytest.raises(DataError, match="transformed images are not finite"):
        alignment(features, broken)
    with pytest.raises(DataError, match="N >= 2"):
        uniformity(features[:1])
    with pytest.raises(DataError, match="N >= 1"):
        effective_rank(features[:0])


# -- the transformation of images --------------------------------------------------------------------------------------

GROUPS = [
    Rotations(),
    Dihedral(),
    Scales((1.0, 1.5)),
    Translations(),
    Translations(circular=True),
    Product(Rotations(), Scales((1.0, 1.5))),
    Unstructured(16, Rotations()),
    Unstructured(6, Scales((1.0, 1.5))),
]


@pytest.mark.parametrize("group", GROUPS, ids=str)
def test_moves_are_the_same_for_all_runs(group: Group) -> None:
    first = moves(group, 50, 28)
    torch.manual_seed(3)
    assert torch.equal(first, moves(group, 50, 28))
    assert first.shape == (50, group.parameter_count)
    assert len(first.unique(dim=0)) > 2
    images = torch.rand(50, 1, 29, 29)
    assert group.transform_by(images, first).shape == images.shape


@pytest.mark.parametrize("group", [Rotations(), Dihedral(), Unstructured(16, Rotations())], ids=str)
def test_closed_groups_leave_the_identity_out_and_nothing_else(group: Group) -> None:
    by = group.images_by if isinstance(group, Unstructured) else group
    found = {tuple(row) for row in moves(group, 400, 28).tolist()}
    assert found == {tuple(row) for row in by.parameters(torch.arange(1, by.order)).tolist()}


def test_shifts_and_factors_are_those_of_the_augmentation() -> None:
    shifts = moves(Translations(), 2000, 30)
    assert shifts.abs().max() == 6
    factors = moves(Scales((1.0, 1.5)), 2000, 30)
    assert 0.57 <= factors.min() < 0.58
    assert 0.99 < factors.max() <= 1
    assert torch.equal(factors, moves(Unstructured(6, Scales((1.0, 1.25))), 2000, 30))


# -- of a store --------------------------------------------------------------------------------------------------------


def store(count: int, size: int = 13) -> ImageStore:
    images = torch.randint(256, (count, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageStore(images, None, torch.zeros(1), torch.ones(1), ())


def test_images_are_taken_evenly_and_the_batch_changes_nothing() -> None:
    images, group = store(105), Rotations()
    seen: list[Tensor] = []

    def encode(batch: Tensor) -> Tensor:
        seen.append(batch)
        return batch.flatten(1)

    found = label_free(encode, images, group, images=50, batch_size=7)
    chosen = images.batch(torch.arange(50) * 105 // 50)
    assert torch.equal(torch.cat(seen[0::2]), chosen)
    moved = group.transform_by(chosen, moves(group, 50, 13))
    assert torch.equal(torch.cat(seen[1::2]), moved)
    assert found == measure(chosen.flatten(1), moved.flatten(1))
    assert found == label_free(encode, images, group, images=50)
    assert found.images == 50
    assert label_free(encode, images, group).images == 105


def test_an_invariant_network_is_told_from_one_that_is_not() -> None:
    torch.manual_seed(0)
    invariant = ThreeLayer(Rotations(), resolution=13, width=1 / 8).eval()
    control = MLP(resolution=13, width=1 / 8, images_by=Rotations(), rows=4).eval()
    images = store(80)
    # Averaged over group and positions, an equivariant network is invariant.
    found = label_free(lambda x: invariant(x).values.mean((2, 3, 4)), images, invariant.group)
    assert found.alignment < 1e-9
    assert found.neighbour_agreement > 0.98
    without = label_free(lambda x: control(x).values.flatten(1), images, control.group)
    assert without.alignment > 1e-3
    assert without.neighbour_agreement < 0.5


def test_a_store_that_is_too_small_and_a_map_are_refused() -> None:
    with pytest.raises(DataError, match="10 neighbours, 10 images"):
        label_free(lambda x: x.flatten(1), store(10), Rotations())
    with pytest.raises(SizeError, match="one feature vector an image"):
        label_free(lambda x: x, store(20), Rotations())
