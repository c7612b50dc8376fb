"""Pairs, and how placements of g0 are drawn."""

import itertools
from collections import Counter

import pytest
import torch
from torch import Tensor

from hssl.groups import BaseSpace, Group, Product, Rotations, Scales, Translations
from hssl.views import Pairs
from hssl.views.pairs import PlacementPairs, draw_placements

SCALES = Scales((1.0, 1.25, 1.5, 2.0))
DRAWS = 20_000


def looks_uniform(draws: Tensor, outcomes: int) -> bool:
    """Pearson's statistic at most four standard deviations above its mean."""
    counts = torch.bincount(draws, minlength=outcomes).double()
    if len(counts) > outcomes:
        return False
    expected = len(draws) / outcomes
    statistic = float(((counts - expected) ** 2 / expected).sum())
    freedom = outcomes - 1
    return statistic - freedom < 4 * (2 * freedom) ** 0.5


def test_the_statistic_itself_sees_a_bias() -> None:
    generator = torch.Generator().manual_seed(0)
    assert looks_uniform(torch.randint(0, 6, (DRAWS,), generator=generator), 6)
    assert not looks_uniform(torch.randint(0, 7, (DRAWS,), generator=generator) % 6, 6)


@pytest.mark.parametrize(
    "base",
    [
        BaseSpace(Rotations()),
        BaseSpace(Rotations(), 3),
        BaseSpace(SCALES, 2),
        BaseSpace(Translations((4, 5)), (2, 3)),
        BaseSpace(Product(Rotations(), Translations((3, 3))), (2, 1, 1)),
    ],
    ids=str,
)
def test_placements_are_uniform(base: BaseSpace) -> None:
    placements = draw_placements(base, DRAWS, torch.Generator().manual_seed(1))
    assert placements.shape == (DRAWS,)
    assert looks_uniform(placements, base.count)


@pytest.mark.parametrize("base", [BaseSpace(Rotations()), BaseSpace(SCALES, 2)], ids=str)
def test_two_placements_are_uniform_and_independent(base: BaseSpace) -> None:
    first, second = PlacementPairs(base, None, "euclidean").draw(DRAWS, torch.Generator().manual_seed(2))
    anchors = {int(position): index for index, position in enumerate(base.positions[:, 0])}
    joint = torch.tensor(
        [anchors[a] * base.count + anchors[b] for a, b in zip(first[:, 0].tolist(), second[:, 0].tolist(), strict=True)]
    )
    assert looks_uniform(joint, base.count**2)


DISTANCES: list[tuple[Group, int | tuple[int, ...], float, str]] = [
    (Rotations(), 1, 1, "topological"),
    (Rotations(), 2, 1, "euclidean"),
    (SCALES, 1, 0.1, "euclidean"),
    (Translations((4, 5)), (2, 2), 1.5, "topological"),
    (Translations((4, 4), circular=True), (1, 1), 2, "euclidean"),
]


@pytest.mark.parametrize(("group", "size", "largest", "kind"), DISTANCES, ids=str)
def test_distant_pairs_are_what_rejection_leaves(
    group: Group, size: int | tuple[int, ...], largest: float, kind: str
) -> None:
    base = BaseSpace(group, size)
    first, second = PlacementPairs(base, largest, kind).draw(DRAWS, torch.Generator().manual_seed(3))  # type: ignore[arg-type]
    drawn = Counter(zip(first[:, 0].tolist(), second[:, 0].tolist(), strict=True))
    everywhere = base.positions[:, 0].tolist()
    allowed = [
        (a, b)
        for a, b in itertools.product(everywhere, repeat=2)
        if group.distance(a, b, kind) <= largest + 1e-9  # type: ignore[arg-type]
    ]
    assert 0 < len(allowed) < len(everywhere) ** 2
    assert set(drawn) == set(allowed)
    names = {pair: index for index, pair in enumerate(allowed)}
    assert looks_uniform(torch.tensor([names[pair] for pair in drawn.elements()]), len(allowed))
    # Drawing independent pairs and discarding the distant ones has the same law: pair by pair, the shares agree.
    generator = torch.Generator().manual_seed(4)
    near = group.distances(kind) <= largest + 1e-9  # type: ignore[arg-type]
    anchors = base.positions[:, 0]
    a, b = (anchors[draw_placements(base, 4 * DRAWS, generator)] for _ in range(2))
    kept = near[a, b]
    rejected = Counter(zip(a[kept].tolist(), b[kept].tolist(), strict=True))
    for pair in allowed:
        share, other = drawn[pair] / DRAWS, rejected[pair] / int(kept.sum())
        assert abs(share - other) < 5 * (share / DRAWS + other / int(kept.sum())) ** 0.5


def test_distance_zero_leaves_equal_pairs() -> None:
    first, second = PlacementPairs(BaseSpace(Rotations(), 2), 0.0, "euclidean").draw(64, torch.Generator())
    assert torch.equal(first, second)


def test_a_large_distance_forbids_nothing() -> None:
    first, second = PlacementPairs(BaseSpace(Rotations()), 9.0, "euclidean").draw(512, torch.Generator())
    assert len(set(zip(first[:, 0].tolist(), second[:, 0].tolist(), strict=True))) == 16


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_bundles_have_the_size_of_the_base_space(size: int) -> None:
    first, second = PlacementPairs(BaseSpace(Rotations(), size), None, "euclidean").draw(5, torch.Generator())
    assert first.shape == second.shape == (5, size)


def test_part_cuts_rows_and_keeps_what_is_missing_missing() -> None:
    positions = torch.arange(12).reshape(6, 2)
    parameters = torch.arange(6, dtype=torch.float64)[:, None]
    pairs = Pairs(positions, positions + 100, parameters, parameters + 100)
    part = pairs.part(slice(2, 4), torch.device("cpu"))
    assert part.positions_1.tolist() == [[4, 5], [6, 7]]
    assert part.positions_2.tolist() == [[104, 105], [106, 107]]
    assert part.parameters_1 is not None
    assert part.parameters_2 is not None
    assert part.parameters_1.tolist() == [[2.0], [3.0]]
    assert part.parameters_2.tolist() == [[102.0], [103.0]]
    bare = Pairs(positions, positions).part(slice(0, 1), torch.device("cpu"))
    assert bare.parameters_1 is None
    assert bare.parameters_2 is None


def test_part_goes_to_the_device() -> None:
    parameters = torch.zeros(4, 1)
    part = Pairs(torch.zeros(4, 1), torch.zeros(4, 1), parameters, parameters).part(slice(0, 2), torch.device("meta"))
    assert part.parameters_2 is not None
    assert {part.positions_1.device.type, part.positions_2.device.type, part.parameters_2.device.type} == {"meta"}
