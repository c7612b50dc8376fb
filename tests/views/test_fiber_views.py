"""H-SSL: one forward pass, two independent base spaces."""

import dataclasses

import pytest
import torch
from torch import Tensor

from counting_encoder import CountingEncoder
from hssl.backbones import ThreeLayer
from hssl.errors import GroupError
from hssl.groups import (
    Augmentation,
    BaseSpace,
    Group,
    GroupFeatures,
    Rotations,
    Scales,
    Streams,
    Translations,
)
from hssl.views import FiberViews, HybridViews, InputViews, Pairs
from hssl.views.placements import Which
from laws import PAPER_SCALES, error, noise

IMAGES = torch.rand(5, 1, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_one_forward_pass_of_the_batch_as_it_is() -> None:
    views = FiberViews(BaseSpace(Rotations()))
    encode = CountingEncoder(Rotations())
    views(IMAGES, encode, views.draw(5, torch.Generator()))
    assert len(encode.seen) == 1
    assert torch.equal(encode.seen[0], IMAGES)


def test_images_are_left_alone() -> None:
    pairs = FiberViews(BaseSpace(Rotations())).draw(5, torch.Generator())
    assert pairs.parameters_1 is None
    assert pairs.parameters_2 is None


def test_bundles_are_the_fibers_one_after_the_other() -> None:
    encode = CountingEncoder(Rotations(), channels=2)
    pairs = Pairs(torch.tensor([[3, 0]]), torch.tensor([[1, 2]]))
    image = torch.full((1, 1, 3, 3), 0.5, dtype=torch.float64)
    first, second, _ = FiberViews(BaseSpace(Rotations(), 2))(image, encode, pairs)
    assert first.tolist() == [[503.0, 603.0, 500.0, 600.0]]
    assert second.tolist() == [[501.0, 601.0, 502.0, 602.0]]


def test_a_base_space_on_another_group_than_the_features_is_refused() -> None:
    """Without the check an index beyond the group fails deep inside, and one within it reads the wrong fiber."""
    views = FiberViews(BaseSpace(Translations((3, 3), stride=1)))
    with pytest.raises(GroupError, match=r"base space moves on the group of the features"):
        views(IMAGES, CountingEncoder(Rotations()), views.draw(5, torch.Generator()))


def test_branches_and_examples_are_independent() -> None:
    pairs = FiberViews(BaseSpace(Rotations())).draw(4000, torch.Generator().manual_seed(1))
    first, second = pairs.positions_1[:, 0], pairs.positions_2[:, 0]
    assert abs(float((first == second).double().mean()) - 1 / 4) < 0.03
    assert abs(float((first[1:] == first[:-1]).double().mean()) - 1 / 4) < 0.03


def test_largest_distance_holds_for_every_pair() -> None:
    scales = Scales((1.0, 1.25, 1.5, 2.0))
    far = 0.07
    for largest, held in ((far, True), (None, False)):
        pairs = FiberViews(BaseSpace(scales), largest, "euclidean").draw(500, torch.Generator().manual_seed(2))
        distances = scales.distances("euclidean")[pairs.positions_1[:, 0], pairs.positions_2[:, 0]]
        assert bool((distances <= far).all()) is held


def test_draws_are_a_function_of_the_generator() -> None:
    views = FiberViews(BaseSpace(Rotations()))
    once, again, other = (views.draw(64, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(once.positions_1, again.positions_1)
    assert torch.equal(once.positions_2, again.positions_2)
    assert not torch.equal(once.positions_1, other.positions_1)


def test_apply_is_deterministic_so_a_teacher_sees_its_students_pair() -> None:
    views = FiberViews(BaseSpace(Rotations(), 2))
    pairs = views.draw(5, torch.Generator().manual_seed(5))
    student, teacher = CountingEncoder(Rotations()), CountingEncoder(Rotations())
    for mine, theirs in zip(views(IMAGES, student, pairs)[:2], views(IMAGES, teacher, pairs)[:2], strict=True):
        assert torch.equal(mine, theirs)


def views_of(mode: str, group: Group, size: int, streams: Which) -> FiberViews | InputViews:
    base = BaseSpace(group, size)
    if mode == "h-ssl":
        return FiberViews(base, streams=streams)
    kind = InputViews if mode == "a-ssl" else HybridViews
    return kind(group, base, 13, Augmentation(scale_draw="discrete"), streams=streams)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("group", [Rotations(), Scales(PAPER_SCALES)], ids=str)
@pytest.mark.parametrize("mode", ["h-ssl", "a-ssl", "hybrid"])
def test_sampled_streams_give_the_bundles_of_all_streams(mode: str, group: Group, size: int) -> None:
    """Of one pair, in eval mode: what is not read is not missed."""
    torch.manual_seed(0)
    network = ThreeLayer(group, resolution=13, width=1 / 16).double().eval()
    images = noise(16, 1, 13, 13)
    few, whole = (views_of(mode, group, size, streams) for streams in ("sampled", "all"))  # type: ignore[arg-type]
    pairs = few.draw(16, torch.Generator().manual_seed(0))
    computed: list[int] = []

    def encode(inputs: Tensor, *streams: Streams) -> GroupFeatures:
        features = network(inputs, *streams)
        computed.append(len(features.values) if streams else features.values.shape[0] * group.order)
        return features.pool_space()  # type: ignore[no-any-return]

    with torch.no_grad():
        ours = few(images, encode, pairs)[:2]
        theirs = whole(images, encode, dataclasses.replace(pairs, streams=None))[:2]
        other = whole(images, encode, views_of(mode, group, size, "all").draw(16, torch.Generator()))[:2]
    for bundle, expected, another in zip(ours, theirs, other, strict=True):
        assert error(bundle, expected) <= 1e-12
        assert error(bundle, another) > 1e-2
    # One pass, of no more rows than the views read.
    assert computed[0] <= (2 if mode == "h-ssl" else 1) * size * len(ours[0]) * (1 if mode == "h-ssl" else 2)
    assert computed[0] < computed[1]
