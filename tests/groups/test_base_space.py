"""g0: ordered, placed anywhere legal, moved back by a group element."""

import pytest
import torch

from hssl.errors import GroupError
from hssl.groups import BaseSpace, Group, GroupFeatures, Product, Rotations, Scales, Translations, Unstructured
from laws import CLOSED, noise


@pytest.mark.parametrize("name", CLOSED)
def test_placement_g_is_g0_moved_by_g(name: str) -> None:
    group = CLOSED[name]()
    base = BaseSpace(group, tuple(min(2, axis) for axis in group.axes))
    assert base.count == group.order
    home = base.positions[group.identity]
    assert home[0] == 0
    for element in range(group.order):
        assert torch.equal(base.at(torch.tensor([element]))[0], group.act(element, home))


@pytest.mark.parametrize("name", CLOSED)
def test_reading_moved_features_is_reading_moved_back_positions(name: str) -> None:
    """(Γ_g z)(g0) = z(g^-1 . g0): what ties H-SSL to A-SSL, bundle by bundle and in order."""
    group = CLOSED[name]()
    base = BaseSpace(group, tuple(min(2, axis) for axis in group.axes))
    features = GroupFeatures(noise(3, 2, *group.axes), group)
    elements = torch.tensor([1, group.order - 1, group.order // 2])
    placements = torch.tensor([0, group.order // 3, group.order - 1])
    back = features.at(base.moved_back(elements, placements))
    for index in range(3):
        after = features.transform(int(elements[index])).at(base.at(placements[index].expand(3)))
        assert torch.equal(back[index], after[index])
    assert not torch.equal(back, features.at(base.at(placements)))


def test_order_matters() -> None:
    """The full orbit is the same set wherever it lies; as an ordered set it is not."""
    base = BaseSpace(Rotations(), 4)
    one, other = base.at(torch.tensor([0, 1]))
    assert set(one.tolist()) == set(other.tolist())
    assert not torch.equal(one, other)


def test_zero_padded_shifts_place_only_what_fits() -> None:
    base = BaseSpace(Translations((8, 8)), (3, 5))
    assert (base.size, base.count) == (15, 6 * 4)
    assert BaseSpace(Translations((8, 8)), 2).extents == (2, 2)
    for places in base.positions:
        rows, columns = places // 8, places % 8
        assert torch.equal(rows - rows[0], torch.arange(3).repeat_interleave(5))
        assert torch.equal(columns - columns[0], torch.arange(5).repeat(3))


@pytest.mark.parametrize("group", [Scales((1.0, 2.0)), Translations((3, 3)), Unstructured(3, Rotations())], ids=str)
def test_without_inverses_nothing_moves_back(group: Group) -> None:
    with pytest.raises(GroupError, match=r"holds no inverse|has no inverse"):
        BaseSpace(group).moved_back(torch.tensor([1]), torch.tensor([0]))


def test_pairs_within_a_distance() -> None:
    base = BaseSpace(Rotations(), 2)
    near = base.pairs_within(1, "topological")
    assert near.tolist() == [[i, j] for i in range(4) for j in range(4) if (i - j) % 4 != 2]
    assert [0, 3] not in base.pairs_within(1, "euclidean").tolist()
    assert len(base.pairs_within(0, "topological")) == 4
    assert len(base.pairs_within(100, "topological")) == 16


def test_sizes_that_do_not_fit_are_refused() -> None:
    product = Product(Rotations(), Translations((4, 4)))
    assert BaseSpace(product, 1).extents == BaseSpace(product, (1,)).extents == (1, 1, 1)
    with pytest.raises(GroupError, match="one number does not say"):
        BaseSpace(product, 2)
    wrong: list[tuple[Group, int | tuple[int, ...]]] = [
        (Rotations(), 5),
        (Rotations(), 0),
        (product, 0),
        (product, (5, 1, 1)),
        (product, (1, 5, 1)),
    ]
    for group, size in wrong:
        with pytest.raises(GroupError, match="does not fit"):
            BaseSpace(group, size)
    with pytest.raises(GroupError, match="one extent for each"):
        BaseSpace(Rotations(), (1, 1))
    assert "4 placements" in repr(BaseSpace(Rotations(), 2))
