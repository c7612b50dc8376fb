"""Quarter turns."""

import pytest
import torch

from hssl.errors import SizeError
from hssl.groups import Augmentation, Rotations
from hssl.groups.rotations import turn
from laws import noise


@pytest.mark.parametrize("size", [4, 5])
def test_a_batch_of_turns_equals_rot90_one_by_one(size: int) -> None:
    quarters = torch.tensor([0, 1, 2, 3, -1, 5, 8])
    images = noise(len(quarters), 2, size, size)
    together = turn(images, quarters)
    for index, quarter in enumerate(quarters.tolist()):
        assert torch.equal(together[index], torch.rot90(images[index], quarter, (-2, -1)))


def test_features_move_the_stream_on() -> None:
    values = noise(2, 3, 4)
    assert torch.equal(Rotations().transform_features(values, 1)[..., 1], values[..., 0])


def test_placements_are_the_box_moved_by_each_element_in_order() -> None:
    assert Rotations().placements((2,)).tolist() == [[0, 1], [1, 2], [2, 3], [3, 0]]
    assert Rotations().placements((4,)).tolist() == [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]]


def test_distances() -> None:
    assert Rotations().distances("topological")[0].tolist() == [0, 1, 2, 1]
    assert Rotations().distances("euclidean")[0].tolist() == [0, 1, 4, 9]


def test_kernels_turn_with_their_stream() -> None:
    kernels = noise(2, 3, 1, 5, 5)
    copies = Rotations().orient(kernels)
    assert copies.shape == (2, 3, 4, 5, 5)
    for quarter in range(4):
        assert torch.equal(copies[:, :, quarter], torch.rot90(kernels[:, :, 0], quarter, (-2, -1)))


def test_all_four_turns_are_drawn() -> None:
    drawn = Rotations().draw(200, 8, Augmentation(), torch.Generator().manual_seed(0))
    assert sorted(set(drawn.flatten().tolist())) == [0, 1, 2, 3]


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(SizeError, match="4x5 pixels"):
        Rotations().transform(noise(1, 1, 4, 5), 1)
