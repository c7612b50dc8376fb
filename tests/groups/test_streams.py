"""Which streams of which image are computed, and the features that come of it."""

import pytest
import torch
from torch import Tensor

from hssl.errors import GroupError, SizeError
from hssl.groups import Group, GroupFeatures, Product, Rotations, RowLayout, Scales, Streams, Translations
from laws import TURNING, moved, noise

ELEMENTS = torch.tensor([[2, 0], [2, 2], [0, 1]])


def test_rows_lie_stream_after_stream_and_images_in_their_order() -> None:
    streams = Streams.of(ELEMENTS, 4)
    assert streams.counts == (2, 1, 2, 0)
    assert streams.images.tolist() == [0, 2, 2, 0, 1]
    assert streams.order == 4
    assert streams.slots.tolist() == [[0, -1, 3, -1], [-1, -1, 4, -1], [1, 2, -1, -1]]
    assert "5 rows of 3 images, by stream (2, 1, 2, 0)" in repr(streams)


def test_what_is_named_twice_is_computed_once() -> None:
    once, twice = Streams.of(torch.tensor([[3], [1]]), 4), Streams.of(torch.tensor([[3, 3], [1, 1]]), 4)
    assert torch.equal(once.images, twice.images)
    assert once.counts == twice.counts
    assert torch.equal(once.slots, twice.slots)


@pytest.mark.parametrize("order", [1, 4, 6])
def test_every_row_is_found_again(order: int) -> None:
    elements = torch.randint(0, order, (20, 3), generator=torch.Generator().manual_seed(0))
    streams = Streams.of(elements, order)
    assert sum(streams.counts) == len(streams.images) == sum(len(set(row)) for row in elements.tolist())
    stream_of_row = torch.repeat_interleave(torch.arange(order), torch.tensor(streams.counts))
    rows = streams.rows(elements)
    assert torch.equal(stream_of_row[rows], elements)
    assert torch.equal(streams.images[rows], torch.arange(20)[:, None].expand(-1, 3))


def test_reading_what_was_not_computed_says_what_there_is() -> None:
    streams = Streams.of(ELEMENTS, 4)
    with pytest.raises(GroupError) as caught:
        streams.rows(torch.tensor([[0, 2], [2, 3], [1, 0]]))
    for part in ("not computed", "stream 3 of image 1", "streams [2] of that image", "name it in `elements`"):
        assert part in str(caught.value)


@pytest.mark.parametrize(("elements", "found"), [([[0], [4]], "from 0 to 4"), ([[-1], [0]], "from -1 to 0")])
def test_elements_that_are_none_are_refused(elements: list[list[int]], found: str) -> None:
    with pytest.raises(GroupError, match=f"no such element[\\s\\S]*{found}[\\s\\S]*0 to 3"):
        Streams.of(torch.tensor(elements), 4)


def test_a_table_of_another_shape_is_refused() -> None:
    with pytest.raises(SizeError, match=r"a row for each image[\s\S]*\(3,\)"):
        Streams.of(torch.tensor([0, 1, 2]), 4)


def test_no_images_and_no_streams() -> None:
    for elements in (torch.zeros(0, 2, dtype=torch.long), torch.zeros(3, 0, dtype=torch.long)):
        streams = Streams.of(elements, 4)
        assert streams.counts == (0, 0, 0, 0)
        assert streams.images.shape == (0,)
        assert streams.rows(elements).shape == elements.shape


def test_tables_follow_to_a_device() -> None:
    streams = Streams.of(ELEMENTS, 4).to(torch.device("meta"))
    assert streams.images.device.type == streams.slots.device.type == "meta"
    assert streams.counts == (2, 1, 2, 0)


# -- their features ----------------------------------------------------------------------------------------------------


def sampled(whole: GroupFeatures, elements: Tensor, order: int) -> GroupFeatures:
    """Those streams of whole features."""
    streams = Streams.of(elements, order)
    rows = whole.values.reshape(*whole.values.shape[:2], order, *whole.values.shape[3:])
    stream_of_row = torch.repeat_interleave(torch.arange(order), torch.tensor(streams.counts))
    assert isinstance(whole.group, Product)
    return of_streams(rows[streams.images, :, stream_of_row], streams, whole.group.first)


def of_streams(rows: Tensor, streams: Streams, group: Group) -> GroupFeatures:
    return GroupFeatures.of_rows(rows, group, RowLayout(streams.counts, chosen=streams))


@pytest.mark.parametrize("first", [Rotations(), Scales((1.0, 1.5, 2.0))], ids=str)
def test_bundles_are_those_of_the_whole_features(first: Group) -> None:
    group = Product(first, Translations((3, 4)))
    whole = GroupFeatures(noise(3, 5, *group.axes), group)
    some = sampled(whole, ELEMENTS, first.order)
    assert some.channels == 5
    positions = ELEMENTS * 12 + torch.tensor([[11, 0], [3, 4], [7, 7]])
    assert torch.equal(some.at(positions), whole.at(positions))
    pooled = some.pool_space()
    assert pooled.group == first
    torch.testing.assert_close(pooled.at(ELEMENTS), whole.pool_space().at(ELEMENTS), rtol=0, atol=1e-15)
    # The control: the same streams in another order are another bundle.
    assert not torch.equal(pooled.at(ELEMENTS.flip(1)), whole.pool_space().at(ELEMENTS))
    assert torch.equal(pooled.at(ELEMENTS.flip(1))[0], pooled.at(ELEMENTS)[0].reshape(2, 5).flip(0).flatten())


def test_a_stream_that_was_not_computed_cannot_be_read() -> None:
    group = Product(Rotations(), Translations((3, 4)))
    some = sampled(GroupFeatures(noise(3, 5, *group.axes), group), ELEMENTS, 4)
    with pytest.raises(GroupError, match=r"stream 1 of image 0[\s\S]*streams \[0, 2\]"):
        some.at(torch.tensor([[12], [24], [0]]))
    with pytest.raises(GroupError, match="stream 3 of image 1"):
        some.pool_space().at(torch.tensor([[2], [3], [0]]))


def test_gradients_reach_only_what_was_read() -> None:
    values = noise(5, 2).requires_grad_()
    of_streams(values, Streams.of(ELEMENTS, 4), Rotations()).at(torch.tensor([[2], [2], [0]])).sum().backward()
    assert values.grad is not None
    assert values.grad[:, 0].tolist() == [0, 1, 0, 1, 1]


def test_positions_of_another_shape_are_refused() -> None:
    features = of_streams(noise(5, 2), Streams.of(ELEMENTS, 4), Rotations())
    for positions in (torch.zeros(2, 1, dtype=torch.long), torch.zeros(3, dtype=torch.long)):
        with pytest.raises(SizeError, match="one ordered set of positions an example"):
            features.at(positions)
    assert "Rotations(C4), order 4: Streams(5 rows of 3 images" in repr(features)
    assert "2 channels" in repr(features)


def test_without_positions_there_is_nothing_to_pool() -> None:
    streams = Streams.of(ELEMENTS, 4)
    with pytest.raises(GroupError, match="no positions"):
        of_streams(noise(5, 2), streams, Rotations()).pool_space()
    with pytest.raises(GroupError, match="no positions"):
        GroupFeatures(noise(5, 2, 4), Rotations()).pool_space()


# -- groups whose streams are copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TURNING)
def test_maps_move_as_images_do(name: str) -> None:
    group = TURNING[name]()
    maps = noise(2, 3, 5, 5)
    assert group.folds
    for element in range(group.order):
        assert torch.equal(group.move_maps(maps, element), moved(maps, element))
        assert torch.equal(group.move_maps(maps, element), group.transform(maps, element))
        there = group.move_maps(maps, element)
        assert torch.equal(group.move_maps(there, group.inverse(element)), maps)
    assert group.move_maps(maps[:0], 1).shape == (0, 3, 5, 5)
    assert group.move_maps(noise(1, 1, 4, 7), 1).shape == (1, 1, 7, 4)
    with pytest.raises(GroupError, match="no such element"):
        group.move_maps(maps, group.order)


@pytest.mark.parametrize(
    "group",
    [Scales((1.0, 1.5)), Translations(circular=True), Product(Rotations(), Translations(circular=True))],
    ids=str,
)
def test_streams_of_other_groups_are_no_copies(group: Group) -> None:
    assert not group.folds
