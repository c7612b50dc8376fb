"""Shifts with zeros and around the torus."""

import pytest
import torch

from hssl.errors import GroupError
from hssl.groups import Augmentation, Exactness, Translations
from hssl.groups.translations import place_offsets, shift
from laws import noise


@pytest.mark.parametrize("circular", [True, False])
def test_a_batch_of_shifts_equals_one_by_one(circular: bool) -> None:
    images = noise(6, 2, 5, 7)
    pixels = torch.tensor([[0, 0], [2, -3], [-4, 1], [5, 0], [-9, 15], [1, 6]])
    together = shift(images, pixels, circular)
    for index, (rows, columns) in enumerate(pixels.tolist()):
        alone = images[index].roll((rows, columns), (-2, -1))
        if not circular:
            for row in range(5):
                for column in range(7):
                    if not (0 <= row - rows < 5 and 0 <= column - columns < 7):
                        alone[:, row, column] = 0
        assert torch.equal(together[index], alone)


def test_rows_go_down_and_columns_right() -> None:
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 1, 1] = 1
    assert shift(image, torch.tensor([[1, 2]]), False)[0, 0].nonzero().tolist() == [[2, 3]]


def test_one_step_of_the_grid_is_stride_pixels() -> None:
    group = Translations((4, 5), stride=4, circular=True)
    images = noise(1, 1, 16, 20)
    element = 2 * 5 + 3
    assert group.elements[element] == "(+8, +12) px"
    assert torch.equal(group.transform(images, element), images.roll((8, 12), (-2, -1)))
    values = noise(1, 2, 4, 5)
    assert torch.equal(group.transform_features(values, element), values.roll((2, 3), (-2, -1)))


def test_without_wrapping_what_leaves_is_gone() -> None:
    group = Translations((3, 3))
    values = noise(1, 1, 3, 3)
    after = group.transform_features(values, 4)
    assert torch.equal(after[..., 1:, 1:], values[..., :2, :2])
    assert not after[..., 0, :].any()
    assert not after[..., :, 0].any()
    assert torch.equal(group.act(4, torch.tensor([0, 1, 4])), torch.tensor([4, 5, 8]))
    with pytest.raises(GroupError, match=r"leaves the feature grid[\s\S]*circular=True"):
        group.act(4, torch.tensor([2]))
    with pytest.raises(GroupError, match="no closed group"):
        group.inverse(4)
    assert group.inverse(0) == 0
    assert group.compose(1, 3) == 4


def test_placements_on_the_torus_are_the_box_moved_by_each_element() -> None:
    group = Translations((3, 5), circular=True)
    box = torch.tensor([0, 1, 5, 6])
    placements = group.placements((2, 2))
    assert placements.shape == (15, 4)
    for element in range(15):
        assert torch.equal(placements[element], group.act(element, box))


def test_zero_padded_placements_are_those_that_fit() -> None:
    placements = Translations((3, 5)).placements((2, 3))
    expected = [
        [(row + r) * 5 + column + c for r in range(2) for c in range(3)] for row in range(2) for column in range(3)
    ]
    assert placements.tolist() == expected
    assert Translations((3, 5)).placements((3, 5)).tolist() == [list(range(15))]


def test_placements_keep_the_order_of_the_offsets() -> None:
    offsets = [(0, 1), (1, 0), (0, 0)]
    assert place_offsets(offsets, (2, 2), False).tolist() == [[1, 2, 0]]
    assert place_offsets(offsets, (2, 2), True).tolist() == [[1, 2, 0], [0, 3, 1], [3, 0, 2], [2, 1, 3]]


def test_distances_go_around_only_where_shifts_do() -> None:
    torus, plane = Translations((5, 5), circular=True), Translations((5, 5))
    assert torus.distance(0, 4) == 1
    assert plane.distance(0, 4) == 4
    assert torus.distance(0, 4, "euclidean") == plane.distance(0, 4, "euclidean") == 16
    assert plane.distance(0, 6) == pytest.approx(2**0.5)


def test_random_shifts_are_whole_pixels_within_the_range() -> None:
    drawn = Translations((8, 8)).draw(400, 32, Augmentation(0.2), torch.Generator().manual_seed(0))
    assert torch.equal(drawn, drawn.round())
    assert drawn.min() == -6
    assert drawn.max() == 6


@pytest.mark.parametrize(
    ("strength", "size", "reach"),
    [(0.2, 28, 5), (0.2, 32, 6), (0.2, 29, 5), (0.2, 25, 5), (0.2, 24, 4), (0.2, 15, 3), (0.29, 100, 29), (0, 28, 0)],
)
def test_no_shift_exceeds_the_share_that_was_asked_for(strength: float, size: int, reach: int) -> None:
    """'up to 20 %' of 28 pixels are 5; 6 would be 21.4 %. A share that is a whole number of pixels loses none."""
    drawn = Translations((8, 8)).draw(2000, size, Augmentation(strength), torch.Generator().manual_seed(0))
    assert (drawn.min(), drawn.max()) == (-reach, reach)


def test_rounding_and_plain_truncation_would_be_off() -> None:
    """The control of the test above."""
    assert round(0.2 * 28) == 6
    assert int(0.29 * 100) == 28


def test_classes_of_exactness() -> None:
    assert Translations((4, 4), circular=True).exactness is Exactness.EXACT
    assert Translations((4, 4)).exactness is Exactness.OFF_BORDER


def test_bad_values_are_refused() -> None:
    for shape in ((0, 3), (3,), (1, 2, 3)):
        with pytest.raises(GroupError, match="height and width"):
            Translations(shape)  # type: ignore[arg-type]
    with pytest.raises(GroupError, match="at least one pixel"):
        Translations((3, 3), stride=0)
    with pytest.raises(GroupError, match="not bound to a feature grid"):
        _ = Translations().order
