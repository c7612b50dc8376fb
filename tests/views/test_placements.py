"""Pairs, and how placements of g0 are drawn."""

import itertools
from collections import Counter

import pytest
import torch
from torch import Tensor

from hssl.errors import ConfigurationError
from hssl.groups import BaseSpace, Group, Product, Rotations, Scales, Streams, Translations
from hssl.views import FiberViews, HybridViews, InputViews, Pairs
from hssl.views.placements import PlacementPairs, deal, draw_placements
from laws import PAPER_SCALES

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
    part = pairs.part(slice(2, 4))
    assert part.positions_1.tolist() == [[4, 5], [6, 7]]
    assert part.positions_2.tolist() == [[104, 105], [106, 107]]
    assert part.parameters_1 is not None
    assert part.parameters_2 is not None
    assert part.parameters_1.tolist() == [[2.0], [3.0]]
    assert part.parameters_2.tolist() == [[102.0], [103.0]]
    # What a part reads decides what of it is computed.
    assert Pairs(positions, positions, streams=Streams.of(positions, 12)).part(slice(2, 4)).streams is None
    bare = Pairs(positions, positions).part(slice(0, 1))
    assert bare.parameters_1 is None
    assert bare.parameters_2 is None


def test_pairs_go_to_a_device_whole() -> None:
    positions, parameters = torch.zeros(4, 1, dtype=torch.long), torch.zeros(4, 1)
    streams = Streams.of(positions, 4)
    pairs = Pairs(positions, positions, parameters, parameters, streams).to(torch.device("meta"))
    assert pairs.parameters_1 is not None
    assert pairs.parameters_2 is not None
    assert pairs.streams is not None
    tensors = [pairs.positions_1, pairs.positions_2, pairs.parameters_1, pairs.parameters_2]
    tensors += [pairs.streams.images, pairs.streams.slots]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert pairs.streams.counts == (4, 0, 0, 0)
    bare = Pairs(positions, positions).to(torch.device("meta"))
    assert bare.parameters_1 is bare.parameters_2 is bare.streams is None


# -- dealt instead of drawn --------------------------------------------------------------------------------------------

# What is dealt: a base space, and the largest distance of a pair.
DEALT: dict[str, tuple[BaseSpace, float | None]] = {
    "scales": (BaseSpace(Scales(PAPER_SCALES)), None),
    "two scales": (BaseSpace(Scales(PAPER_SCALES), 2), None),
    "near scales": (BaseSpace(Scales(PAPER_SCALES)), 0.1),
    "rotations": (BaseSpace(Rotations()), None),
    "two near rotations": (BaseSpace(Rotations(), 2), 1.0),
}


def dealt(name: str, batch_size: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """First positions of the pairs of a batch."""
    base, largest = DEALT[name]
    pairs = PlacementPairs(base, largest, "euclidean", "sampled")
    first, second = pairs.draw(batch_size, generator or torch.Generator().manual_seed(1))
    return first[:, 0], second[:, 0]


def allowed_in(name: str) -> list[tuple[int, int]]:
    base, largest = DEALT[name]
    anchors = base.positions[:, 0].tolist()
    return [
        (a, b)
        for a, b in itertools.product(anchors, repeat=2)
        if largest is None or base.group.distance(a, b, "euclidean") <= largest + 1e-9
    ]


@pytest.mark.parametrize("name", DEALT)
def test_each_examples_pair_is_uniform(name: str) -> None:
    """Whatever its place in the batch: in the first deck, at the seam of two, in the last, which is cut."""
    names = {pair: index for index, pair in enumerate(allowed_in(name))}
    batch = 2 * len(names) + 3
    generator = torch.Generator().manual_seed(0)
    draws = [dealt(name, batch, generator) for _ in range(5000)]
    for place in (0, len(names) - 1, len(names), batch - 1):
        pairs = torch.tensor([names[int(first[place]), int(second[place])] for first, second in draws])
        assert looks_uniform(pairs, len(names)), place


def test_cards_in_their_order_would_be_seen() -> None:
    """The control: decks that nobody shuffled are as balanced, and tell a pair by its place."""
    unshuffled = torch.arange(36)[torch.zeros(3000, dtype=torch.long)]
    assert not looks_uniform(unshuffled, 36)
    generator = torch.Generator().manual_seed(0)
    cards = torch.tensor([int(deal(36, 40, generator)[0]) for _ in range(3000)])
    assert looks_uniform(cards, 36)


@pytest.mark.parametrize("batch", [7, 64, 256, 4096])
@pytest.mark.parametrize("name", DEALT)
def test_every_whole_deck_holds_each_pair_once(name: str, batch: int) -> None:
    allowed = allowed_in(name)
    pairs = list(zip(*(positions.tolist() for positions in dealt(name, batch)), strict=True))
    assert len(pairs) == batch
    for start in range(0, batch, len(allowed)):
        deck = pairs[start : start + len(allowed)]
        assert len(set(deck)) == len(deck)
        assert set(deck) <= set(allowed)
        assert len(deck) < len(allowed) or sorted(deck) == sorted(allowed)


def test_drawn_pairs_are_not_that_balanced() -> None:
    first, second = PlacementPairs(BaseSpace(Rotations()), None, "euclidean").draw(64, torch.Generator().manual_seed(1))
    counts = torch.bincount(4 * first[:, 0] + second[:, 0], minlength=16)
    assert counts.unique().numel() > 1
    first, second = dealt("rotations", 64)
    assert torch.bincount(4 * first + second).tolist() == [4] * 16


@pytest.mark.parametrize(("cards", "count"), [(6, 0), (6, 5), (6, 6), (6, 20), (1, 3)])
def test_cards_are_dealt_deck_after_deck(cards: int, count: int) -> None:
    dealt_cards = deal(cards, count, torch.Generator().manual_seed(0))
    assert dealt_cards.shape == (count,)
    for start in range(0, count, cards):
        deck = dealt_cards[start : start + cards].tolist()
        assert len(set(deck)) == len(deck)
        assert set(deck) <= set(range(cards))
    again, other = (deal(36, 72, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert torch.equal(again, deal(36, 72, torch.Generator().manual_seed(0)))
    assert not torch.equal(again, other)


def sampling_views(name: str) -> dict[str, FiberViews | InputViews]:
    base, largest = DEALT[name]
    return {
        "h-ssl": FiberViews(base, largest, streams="sampled"),
        "a-ssl": InputViews(base.group, base, 28, streams="sampled"),
        "hybrid": HybridViews(base.group, base, 28, max_distance=largest, streams="sampled"),
    }


@pytest.mark.parametrize("mode", ["h-ssl", "a-ssl", "hybrid"])
@pytest.mark.parametrize("name", DEALT)
def test_shapes_stay_the_same_from_draw_to_draw(name: str, mode: str) -> None:
    views = sampling_views(name)[mode]
    decks = len(views.base.positions) if mode == "a-ssl" else len(views._placements._allowed)
    batch = 8 * decks
    draws = [views.draw(batch, torch.Generator().manual_seed(seed)) for seed in range(10)]
    streams = [pairs.streams for pairs in draws if pairs.streams is not None]
    assert len(streams) == 10
    (counts,) = {one.counts for one in streams}
    # The control: a batch that is not a number of decks reads one stream more often than another.
    if mode == "h-ssl":
        others = [views.draw(batch + decks // 2, torch.Generator().manual_seed(seed)).streams for seed in range(10)]
        assert len({one.counts for one in others if one is not None}) > 1
    # What is computed is what is read.
    images = batch if mode == "h-ssl" else 2 * batch
    views_of_one = [torch.cat([pairs.positions_1, pairs.positions_2], dim=int(mode == "h-ssl")) for pairs in draws]
    for one, read in zip(streams, views_of_one, strict=True):
        assert len(one.slots) == images
        asked = torch.zeros(images, len(counts), dtype=torch.bool).scatter_(1, read, True)
        assert bool((one.slots >= 0)[asked].all())
        assert int(asked.sum()) == sum(counts)


@pytest.mark.parametrize(("name", "mode", "share"), [("scales", "h-ssl", 1 / 3), ("scales", "a-ssl", 1 / 6)])
def test_the_share_of_six_streams_that_is_computed(name: str, mode: str, share: float) -> None:
    """Two of six, less where both are the same one; one of six for each view."""
    pairs = sampling_views(name)[mode].draw(4096, torch.Generator().manual_seed(0))
    assert pairs.streams is not None
    computed = sum(pairs.streams.counts) / (6 * len(pairs.streams.slots))
    assert computed == pytest.approx(share - (1 / 36 if mode == "h-ssl" else 0), rel=0.01)


@pytest.mark.parametrize("mode", ["h-ssl", "a-ssl", "hybrid"])
def test_parts_of_a_batch_compute_what_they_read(mode: str) -> None:
    views = sampling_views("scales")[mode]
    whole = views.draw(64, torch.Generator().manual_seed(0))
    for rank in range(4):
        part = views.with_streams(whole.part(slice(16 * rank, 16 * rank + 16)))
        assert part.streams is not None
        read = torch.cat([part.positions_1, part.positions_2], dim=int(mode == "h-ssl"))
        assert part.streams.rows(read).min() >= 0
        assert len(part.streams.slots) == (16 if mode == "h-ssl" else 32)


@pytest.mark.parametrize("mode", ["h-ssl", "a-ssl", "hybrid"])
def test_views_of_all_streams_name_none(mode: str) -> None:
    base = BaseSpace(Rotations())
    views: dict[str, FiberViews | InputViews] = {
        "h-ssl": FiberViews(base),
        "a-ssl": InputViews(Rotations(), base, 28),
        "hybrid": HybridViews(Rotations(), base, 28),
    }
    pairs = views[mode].draw(8, torch.Generator())
    assert pairs.streams is None
    assert views[mode].with_streams(pairs) is pairs


@pytest.mark.parametrize("which", ["some", ""])
def test_another_word_for_the_streams_is_refused(which: str) -> None:
    for build in (
        lambda: FiberViews(BaseSpace(Rotations()), streams=which),  # type: ignore[arg-type]
        lambda: InputViews(Rotations(), BaseSpace(Rotations()), 28, streams=which),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError, match="all, sampled"):
            build()


@pytest.mark.parametrize("group", [Product(Rotations(), Translations((3, 3))), Translations((3, 3))], ids=str)
def test_base_spaces_with_positions_have_no_streams_to_choose_from(group: Group) -> None:
    base = BaseSpace(group, (1,) * len(group.axes))
    for build in (
        lambda: FiberViews(base, streams="sampled"),
        lambda: InputViews(group, base, 28, streams="sampled"),
        lambda: HybridViews(group, base, 28, streams="sampled"),
    ):
        with pytest.raises(ConfigurationError, match="use streams 'all'"):
            build()
