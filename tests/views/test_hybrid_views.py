"""Hybrid: both kinds of view at once."""

import torch

from counting_encoder import CountingEncoder
from hssl.groups import BaseSpace, Rotations
from hssl.views import HybridViews

IMAGES = torch.rand(5, 1, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_base_spaces_and_transformations_are_all_independent() -> None:
    pairs = HybridViews(Rotations(), BaseSpace(Rotations()), 9).draw(4000, torch.Generator().manual_seed(1))
    assert pairs.parameters_1 is not None
    assert pairs.parameters_2 is not None
    draws = [
        pairs.positions_1[:, 0],
        pairs.positions_2[:, 0],
        pairs.parameters_1[:, 0].long(),
        pairs.parameters_2[:, 0].long(),
    ]
    for index, one in enumerate(draws):
        for other in draws[index + 1 :]:
            counts = torch.bincount(4 * one + other, minlength=16).double()
            assert len(counts) == 16
            assert float(((counts - 250) ** 2 / 250).sum()) < 15 + 4 * 30**0.5


def test_largest_distance_is_respected() -> None:
    group = Rotations()
    views = HybridViews(group, BaseSpace(group), 9, max_distance=1, distance="topological")
    pairs = views.draw(500, torch.Generator().manual_seed(2))
    distances = group.distances("topological")[pairs.positions_1[:, 0], pairs.positions_2[:, 0]]
    assert set(distances.tolist()) == {0.0, 1.0}


def test_one_pass_of_twice_the_batch_each_half_read_at_its_own_base_space() -> None:
    group = Rotations()
    views = HybridViews(group, BaseSpace(group, 2), 9)
    encode = CountingEncoder(group)
    pairs = views.draw(5, torch.Generator().manual_seed(3))
    first, second, _ = views(IMAGES, encode, pairs)
    assert [len(images) for images in encode.seen] == [10]
    assert pairs.parameters_1 is not None
    assert pairs.parameters_2 is not None
    for half, parameters in zip(encode.seen[0].chunk(2), (pairs.parameters_1, pairs.parameters_2), strict=True):
        assert torch.equal(half, group.transform_by(IMAGES, parameters))
    # Turning an image keeps its mean, so both halves have the untransformed features; positions tell the views apart.
    features = CountingEncoder(group)(IMAGES)
    torch.testing.assert_close(first, features.at(pairs.positions_1))
    torch.testing.assert_close(second, features.at(pairs.positions_2))
    assert not torch.equal(pairs.positions_1, pairs.positions_2)


def test_sampled_streams_are_one_g0_for_each_view() -> None:
    group = Rotations()
    views = HybridViews(group, BaseSpace(group), 9, streams="sampled")
    pairs = views.draw(32, torch.Generator().manual_seed(4))
    assert pairs.streams is not None
    assert pairs.streams.slots.shape == (64, 4)
    both = torch.cat([pairs.positions_1, pairs.positions_2])
    assert (pairs.streams.slots >= 0).nonzero()[:, 1].tolist() == both[:, 0].tolist()
    # Every pair of base spaces, in each deck of 16.
    joint = 4 * pairs.positions_1[:, 0] + pairs.positions_2[:, 0]
    assert torch.bincount(joint).tolist() == [2] * 16
