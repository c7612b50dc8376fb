"""A-SSL: two transformed images, one base space."""

import pytest
import torch

from counting_encoder import CountingEncoder
from hssl.errors import GroupError, SizeError
from hssl.groups import Augmentation, BaseSpace, Group, Rotations, Scales, Translations
from hssl.views import InputViews, Pairs
from laws import PAPER_SCALES

IMAGES = torch.rand(5, 1, 9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def views_of(group: Group, base: BaseSpace | None = None, **augmentation: float) -> InputViews:
    return InputViews(group, base or BaseSpace(Rotations()), 9, Augmentation(**augmentation))  # type: ignore[arg-type]


def test_one_pass_of_twice_the_batch() -> None:
    views = views_of(Rotations())
    encode = CountingEncoder(Rotations())
    pairs = views.draw(5, torch.Generator().manual_seed(1))
    first, second, _ = views(IMAGES, encode, pairs)
    assert [len(images) for images in encode.seen] == [10]
    assert first.shape == second.shape == (5, 3)
    assert pairs.parameters_1 is not None
    assert pairs.parameters_2 is not None
    group = Rotations()
    assert torch.equal(encode.seen[0][:5], group.transform_by(IMAGES, pairs.parameters_1))
    assert torch.equal(encode.seen[0][5:], group.transform_by(IMAGES, pairs.parameters_2))


def test_both_branches_share_g0() -> None:
    pairs = views_of(Rotations()).draw(1000, torch.Generator().manual_seed(2))
    assert torch.equal(pairs.positions_1, pairs.positions_2)
    counts = torch.bincount(pairs.positions_1[:, 0], minlength=4)
    assert counts.min() > 190


def test_transformations_of_the_branches_are_independent() -> None:
    pairs = views_of(Rotations()).draw(4000, torch.Generator().manual_seed(3))
    assert pairs.parameters_1 is not None
    assert pairs.parameters_2 is not None
    joint = (4 * pairs.parameters_1 + pairs.parameters_2).long().flatten()
    counts = torch.bincount(joint, minlength=16).double()
    assert len(counts) == 16
    assert float(((counts - 250) ** 2 / 250).sum()) < 15 + 4 * 30**0.5
    # g0 tells nothing about the transformation.
    same = (pairs.parameters_1.long().flatten() == pairs.positions_1[:, 0]).double().mean()
    assert abs(float(same) - 1 / 4) < 0.03


def test_strength_bounds_the_shift() -> None:
    group = Translations((3, 3), stride=4)
    pairs = InputViews(group, BaseSpace(group), 20, Augmentation(translation_strength=0.2)).draw(
        3000, torch.Generator().manual_seed(4)
    )
    assert pairs.parameters_1 is not None
    shifts = pairs.parameters_1
    assert shifts.abs().max() == 4
    assert set(shifts.flatten().tolist()) == {float(pixels) for pixels in range(-4, 5)}


@pytest.mark.parametrize("how", ["continuous", "discrete"])
def test_scales_stay_in_their_range(how: str) -> None:
    group = Scales((1.0, 1.25, 2.0))
    augmentation = Augmentation(smallest_scale=0.6, scale_draw=how)  # type: ignore[arg-type]
    pairs = InputViews(group, BaseSpace(group), 20, augmentation).draw(3000, torch.Generator().manual_seed(5))
    assert pairs.parameters_1 is not None
    factors = pairs.parameters_1.flatten()
    if how == "discrete":
        assert set(factors.tolist()) == {1.0, 1 / 1.25, 0.5}
    else:
        assert 0.6 <= float(factors.min()) < 0.61
        assert 0.99 < float(factors.max()) <= 1.0


def test_each_view_is_read_at_its_own_positions() -> None:
    encode = CountingEncoder(Rotations(), channels=1)
    still = torch.zeros(1, 1, dtype=torch.float64)
    pairs = Pairs(torch.tensor([[3]]), torch.tensor([[1]]), still, still)
    first, second, _ = views_of(Rotations())(torch.zeros(1, 1, 9, 9, dtype=torch.float64), encode, pairs)
    assert (first.item(), second.item()) == (3.0, 1.0)


def test_images_of_another_size_than_the_pairs_were_drawn_for_are_refused() -> None:
    views = views_of(Rotations())
    pairs = views.draw(5, torch.Generator())
    encode = CountingEncoder(Rotations())
    with pytest.raises(SizeError, match=r"images of 9 px") as caught:
        views(IMAGES[..., :8, :8], encode, pairs)
    assert "(5, 1, 8, 8)" in str(caught.value)
    assert "image_size" in str(caught.value)
    assert encode.seen == []
    views(IMAGES, encode, pairs)


def test_a_base_space_on_another_group_than_the_features_is_refused() -> None:
    views = views_of(Rotations(), BaseSpace(Scales(PAPER_SCALES)))
    with pytest.raises(GroupError, match=r"base space moves on the group of the features") as caught:
        views(IMAGES, CountingEncoder(Rotations()), views.draw(5, torch.Generator()))
    assert f"order {len(PAPER_SCALES)}" in str(caught.value)
    assert "order 4" in str(caught.value)


def test_apply_is_deterministic_so_a_teacher_sees_its_students_pair() -> None:
    views = views_of(Rotations(), BaseSpace(Rotations(), 2))
    pairs = views.draw(5, torch.Generator().manual_seed(6))
    student, teacher = CountingEncoder(Rotations()), CountingEncoder(Rotations())
    for mine, theirs in zip(views(IMAGES, student, pairs)[:2], views(IMAGES, teacher, pairs)[:2], strict=True):
        assert torch.equal(mine, theirs)
    assert torch.equal(student.seen[0], teacher.seen[0])
    other = views.draw(5, torch.Generator().manual_seed(7))
    views(IMAGES, teacher, other)
    assert not torch.equal(student.seen[0], teacher.seen[1])


@pytest.mark.parametrize("size", [1, 2])
def test_sampled_streams_are_those_of_the_one_g0_of_both_views(size: int) -> None:
    group = Scales(PAPER_SCALES)
    views = InputViews(group, BaseSpace(group, size), 9, streams="sampled")
    pairs = views.draw(30, torch.Generator().manual_seed(1))
    assert torch.equal(pairs.positions_1, pairs.positions_2)
    assert pairs.streams is not None
    # The first views and then the second, as they pass the network; 30 examples are whole decks of 6 and of 5.
    assert pairs.streams.slots.shape == (60, 6)
    assert torch.equal(pairs.streams.slots[:30] >= 0, pairs.streams.slots[30:] >= 0)
    assert (pairs.streams.slots >= 0).sum(1).tolist() == [size] * 60
    assert pairs.streams.rows(torch.cat([pairs.positions_1, pairs.positions_2])).unique().tolist() == list(
        range(60 * size)
    )
    decks = pairs.positions_1[:, 0].reshape(-1, 7 - size)
    assert all(sorted(deck) == list(range(7 - size)) for deck in decks.tolist())


def test_dealt_base_spaces_leave_the_transformations_as_they_are() -> None:
    """The same generator gives the same transformations: only g0 is dealt."""
    group = Rotations()
    sampled, drawn = (
        InputViews(group, BaseSpace(group), 9, streams=streams).draw(64, torch.Generator().manual_seed(1))  # type: ignore[arg-type]
        for streams in ("sampled", "all")
    )
    assert sampled.parameters_1 is not None
    assert drawn.parameters_1 is not None
    assert torch.equal(sampled.parameters_1, drawn.parameters_1)
    assert torch.bincount(sampled.positions_1[:, 0]).tolist() == [16] * 4
    assert torch.bincount(drawn.positions_1[:, 0]).tolist() != [16] * 4
