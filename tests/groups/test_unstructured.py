"""A group in name only."""

from collections.abc import Callable

import pytest
import torch

from hssl.errors import GroupError
from hssl.groups import Augmentation, Exactness, Rotations, Unstructured
from laws import noise


def test_it_has_no_action_and_says_so() -> None:
    group = Unstructured(6, Rotations())
    assert group.exactness is Exactness.NONE
    assert not group.closed
    asked: list[Callable[[], object]] = [
        lambda: group.compose(0, 1),
        lambda: group.inverse(0),
        lambda: group.act(0, torch.tensor([0])),
        lambda: group.parameters(torch.tensor([0])),
        lambda: group.transform(noise(1, 1, 4, 4), 1),
        lambda: group.transform_features(noise(1, 1, 6), 1),
    ]
    for ask in asked:
        with pytest.raises(GroupError, match="group in name only"):
            ask()


def test_images_move_as_in_the_experiment_that_it_controls() -> None:
    group, images = Unstructured(6, Rotations()), noise(4, 1, 5, 5)
    drawn = group.draw(4, 5, Augmentation(), torch.Generator().manual_seed(1))
    assert torch.equal(drawn, Rotations().draw(4, 5, Augmentation(), torch.Generator().manual_seed(1)))
    assert torch.equal(group.transform_by(images, drawn), Rotations().transform_by(images, drawn))


def test_slices_and_distances() -> None:
    group = Unstructured(3, Rotations())
    assert group.placements((2,)).tolist() == [[0, 1], [1, 2]]
    assert group.distances("topological").tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert group.distances("euclidean")[0].tolist() == [0, 1, 4]
    assert Unstructured(3, Rotations()) != Unstructured(4, Rotations())


def test_bad_values_are_refused() -> None:
    with pytest.raises(GroupError, match="at least one slice"):
        Unstructured(0, Rotations())
