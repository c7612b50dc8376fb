"""Products: p4 on odd and even grids, p4m, and direct products."""

from typing import Literal

import pytest
import torch

from hssl.errors import GroupError, SizeError
from hssl.groups import Dihedral, Exactness, Group, Product, Rotations, Scales, Translations, Unstructured
from hssl.groups.product import factors, on_grid
from laws import moved_features, noise


@pytest.mark.parametrize("side", [3, 4])
@pytest.mark.parametrize("first", [Rotations(), Dihedral()], ids=str)
def test_features_move_as_written_out(first: Group, side: int) -> None:
    group = Product(first, Translations((side, side), circular=True))
    values = noise(2, 3, *group.axes)
    for element in range(group.order):
        turn, step = divmod(element, side * side)
        expected = moved_features(values, turn).roll(divmod(step, side), (-2, -1))
        assert torch.equal(group.transform_features(values, element), expected)


@pytest.mark.parametrize("side", [3, 4])
@pytest.mark.parametrize("first", [Rotations(), Dihedral()], ids=str)
def test_placements_of_a_closed_product_are_the_box_moved_by_each_element(first: Group, side: int) -> None:
    group = Product(first, Translations((side, side), circular=True))
    box = torch.tensor([stream * side * side + row * side for stream in range(2) for row in range(2)])
    placements = group.placements((2, 2, 1))
    assert placements.shape == (group.order, 4)
    for element in range(group.order):
        assert torch.equal(placements[element], group.act(element, box))


def test_zero_padded_placements_fit_and_turn_with_the_group() -> None:
    placements = Product(Rotations(), Translations((3, 3))).placements((1, 2, 1))
    # Two rows of one column at 0 and 180 degrees, one row of two columns at 90 and 270: six places each.
    assert placements.shape == (24, 2)
    streams, places = placements // 9, placements % 9
    assert torch.equal(streams[:, 0], torch.arange(4).repeat_interleave(6))
    assert torch.equal(streams[:, 1], streams[:, 0])
    steps = (places[:, 1] - places[:, 0]).reshape(4, 6)
    assert [set(row.tolist()) for row in steps] == [{3}, {1}, {-3}, {-1}]
    assert len({tuple(row) for row in placements.tolist()}) == 24


def test_turning_positions_takes_a_square_grid() -> None:
    with pytest.raises(SizeError, match="square"):
        Product(Rotations(), Translations((3, 4))).placements((1, 2, 1))


def test_open_first_factors_leave_the_box_as_it_lies() -> None:
    group = Product(Scales((1.0, 2.0)), Translations((2, 3)))
    assert group.placements((2, 1, 3)).tolist() == [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]]


def test_turns_do_not_commute_with_shifts() -> None:
    group = Product(Rotations(), Translations((3, 3), circular=True))
    turn, step = 1 * 9, 1
    assert group.compose(turn, step) != group.compose(step, turn)


def test_on_an_even_grid_a_position_is_no_element() -> None:
    even = Product(Rotations(), Translations((4, 4), circular=True))
    assert int(even.act(16, torch.tensor([0]))[0]) != even.compose(16, 0)


def test_without_turns_the_factors_stand_apart() -> None:
    group = Product(Scales((1.0, 2.0)), Unstructured(3, Rotations()))
    assert group.axes == (2, 3)
    assert group.placements((1, 2)).tolist() == [[0, 1], [1, 2], [3, 4], [4, 5]]
    assert group.exactness is Exactness.NONE
    with pytest.raises(GroupError, match="has no positions"):
        _ = group.space


@pytest.mark.parametrize(("kind", "power"), [("euclidean", 1), ("topological", 2)])
def test_distances_add_up(kind: Literal["euclidean", "topological"], power: int) -> None:
    first, second = Rotations(), Translations((2, 2), circular=True)
    group = Product(first, second)
    for one, other in ((0, 5), (3, 14), (7, 7)):
        a = first.distance(one // 4, other // 4, kind) ** power
        b = second.distance(one % 4, other % 4, kind) ** power
        assert group.distance(one, other, kind) == pytest.approx((a + b) ** (1 / power))


@pytest.mark.parametrize("factors", [(1.0,), (1.0, 1.5)])
@pytest.mark.parametrize("turns_first", [True, False])
def test_kernels_of_turns_and_scales(factors: tuple[float, ...], turns_first: bool) -> None:
    kernels = noise(2, len(factors), 5, 5)
    turns, scales = Rotations(), Scales(factors)
    group = Product(turns, scales) if turns_first else Product(scales, turns)
    copies = group.orient(kernels)
    assert copies.shape == (2, group.streams, 5, 5)
    for turn in range(4):
        for scale in range(len(factors)):
            stream = turn * len(factors) + scale if turns_first else scale * 4 + turn
            assert torch.equal(copies[:, stream], torch.rot90(kernels[:, scale], turn, (-2, -1)))


def test_what_layers_ask() -> None:
    spatial = Product(Rotations(), Translations(circular=True))
    assert (spatial.streams, spatial.turns, spatial.circular) == (4, True, True)
    assert spatial.filter_group == Rotations()
    direct = Product(Scales((1.0, 2.0)), Rotations())
    assert (direct.streams, direct.filter_group, direct.filter_scales) == (8, direct, (1.0, 2.0))
    assert Product(Rotations(), Translations((2, 2))).exactness is Exactness.OFF_BORDER
    assert Product(Scales((1.0,)), Translations((2, 2), circular=True)).exactness is Exactness.APPROXIMATE


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ((Translations((2, 2)), Rotations()), "translations come second"),
        ((Product(Rotations(), Translations((2, 2))), Scales((1.0,))), "outermost"),
        ((Scales((1.0,)), Product(Rotations(), Translations((2, 2)))), "outermost"),
        ((Rotations(), Dihedral()), "only one factor"),
    ],
)
def test_products_that_would_be_no_group_are_refused(factors: tuple[Group, Group], message: str) -> None:
    with pytest.raises(GroupError, match=message):
        Product(*factors)


def test_two_factors_of_scales_are_refused() -> None:
    with pytest.raises(GroupError, match="one factor of a product holds the scales"):
        _ = Product(Scales((1.0, 2.0)), Scales((1.0, 2.0))).filter_scales


def test_a_group_on_another_grid_keeps_its_filters_and_its_torus() -> None:
    grid, torus = Translations((2, 3), stride=2), Translations((2, 3), stride=2, circular=True)
    assert on_grid(Translations((4, 4)), (2, 3), 2) == grid
    assert on_grid(Translations(circular=True), (2, 3), 2) == torus
    both = Product(Rotations(), Scales((1.0, 2.0)))
    for filters in (Rotations(), both, Unstructured(3, Rotations())):
        whole = Product(filters, grid)
        assert on_grid(filters, (2, 3), 2) == on_grid(Product(filters, Translations((4, 4))), (2, 3), 2) == whole
        assert factors(whole) == (filters, grid)
        assert factors(filters) == (filters, None)
    assert on_grid(Product(Rotations(), Translations((4, 4), circular=True)), (2, 3), 2) == Product(Rotations(), torus)
    assert factors(grid) == (None, grid)
