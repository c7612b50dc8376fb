"""GroupFeatures: fibers, bundles, Γ_g, pooling."""

import pytest
import torch

from hssl.errors import GroupError, SizeError
from hssl.groups import Group, GroupFeatures, Product, Rotations, Scales, Translations
from laws import noise


def test_fibers_are_read_in_row_major_order() -> None:
    values = noise(2, 3, 4, 5)
    features = GroupFeatures(values, Translations((4, 5)))
    assert features.channels == 3
    assert torch.equal(features.fiber(1 * 5 + 2), values[:, :, 1, 2])
    with pytest.raises(GroupError, match="from 0 to 19"):
        features.fiber(20)


def test_a_bundle_is_fiber_after_fiber_at_each_examples_own_positions() -> None:
    values = noise(2, 3, 4)
    bundle = GroupFeatures(values, Rotations()).at(torch.tensor([[0, 2], [3, 1]]))
    assert bundle.shape == (2, 6)
    assert torch.equal(bundle[0], torch.cat([values[0, :, 0], values[0, :, 2]]))
    assert torch.equal(bundle[1], torch.cat([values[1, :, 3], values[1, :, 1]]))


def test_gradients_reach_only_what_was_read() -> None:
    values = noise(1, 2, 4).requires_grad_()
    GroupFeatures(values, Rotations()).at(torch.tensor([[1, 1]])).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[[0, 2, 0, 0], [0, 2, 0, 0]]]


def test_transform_is_the_action_of_the_group() -> None:
    features = GroupFeatures(noise(2, 3, 4), Rotations())
    assert torch.equal(features.transform(1).fiber(1), features.fiber(0))


def test_pooling_over_space_leaves_the_first_factor() -> None:
    values = noise(2, 5, 4, 3, 3)
    pooled = GroupFeatures(values, Product(Rotations(), Translations((3, 3)))).pool_space()
    assert pooled.group == Rotations()
    torch.testing.assert_close(pooled.values, values.mean((-2, -1)), rtol=0, atol=0)


@pytest.mark.parametrize("group", [Rotations(), Product(Scales((1.0, 2.0)), Rotations())], ids=str)
def test_without_positions_there_is_nothing_to_pool(group: Group) -> None:
    with pytest.raises(GroupError, match="no positions"):
        GroupFeatures(noise(1, 2, *group.axes), group).pool_space()


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SizeError, match=r"\(2, 3, 5\)"):
        GroupFeatures(noise(2, 3, 5), Rotations())
    with pytest.raises(SizeError, match="features of"):
        GroupFeatures(noise(4), Rotations())
    features = GroupFeatures(noise(2, 3, 4), Rotations())
    for positions in (torch.zeros(3, 1, dtype=torch.long), torch.zeros(2, dtype=torch.long)):
        with pytest.raises(SizeError, match="one ordered set of positions an example"):
            features.at(positions)
    assert "order 4: 2 x 3" in repr(features)
