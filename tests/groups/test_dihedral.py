"""The eight symmetries of the square."""

import torch

from hssl.groups import Augmentation, Dihedral
from laws import moved, multiplication_table, noise


def test_composition_is_that_of_the_images() -> None:
    group, table = Dihedral(), multiplication_table(8)
    assert [[group.compose(a, b) for b in range(8)] for a in range(8)] == [list(row) for row in table]


def test_the_group_does_not_commute() -> None:
    assert Dihedral().compose(1, 4) != Dihedral().compose(4, 1)


def test_mirror_first_then_turn() -> None:
    images = noise(8, 2, 5, 5)
    together = Dihedral().transform(images, torch.arange(8))
    for element in range(8):
        assert torch.equal(together[element], moved(images[element], element))


def test_kernels_move_as_images_do() -> None:
    kernels = noise(2, 1, 3, 3)
    copies = Dihedral().orient(kernels)
    for element in range(8):
        assert torch.equal(copies[:, element], moved(kernels[:, 0], element))


def test_placements_are_the_box_moved_by_each_element_in_order() -> None:
    group = Dihedral()
    placements = group.placements((3,))
    for element in range(8):
        assert torch.equal(placements[element], group.act(element, torch.arange(3)))
    # A mirror runs through the turns the other way round.
    assert placements[4].tolist() == [4, 7, 6]


def test_distances() -> None:
    assert Dihedral().distances()[0].tolist() == [0, 1, 2, 1, 1, 2, 3, 2]
    assert Dihedral().distances("euclidean")[0].tolist() == [index**2 for index in range(8)]


def test_all_symmetries_are_drawn() -> None:
    drawn = Dihedral().draw(300, 8, Augmentation(), torch.Generator().manual_seed(0))
    assert len({tuple(row) for row in drawn.tolist()}) == 8
