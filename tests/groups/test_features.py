"""GroupFeatures: fibers, bundles, Γ_g, pooling."""

import pytest
import torch

from hssl.errors import GroupError, SizeError
from hssl.groups import Group, GroupFeatures, Product, Rotations, Scales, Translations, Unstructured
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


@pytest.mark.parametrize(
    "group",
    [
        Rotations(),
        Translations((3, 5)),
        Product(Rotations(), Translations((3, 3))),
        Product(Scales((1.0, 2.0)), Rotations()),
    ],
    ids=str,
)
def test_an_embedding_is_the_mean_over_group_and_positions(group: Group) -> None:
    values = noise(2, 5, *group.axes)
    expected = sum(GroupFeatures(values, group).fiber(element) for element in range(group.order)) / group.order
    torch.testing.assert_close(GroupFeatures(values, group).embedding(), expected)


@pytest.mark.parametrize("positions", [(), (2, 3)], ids=["rows", "maps"])
def test_slices_without_structure_are_embedded_side_by_side(positions: tuple[int, ...]) -> None:
    slices = Unstructured(4, Rotations())
    group = Product(slices, Translations((2, 3))) if positions else slices
    values = noise(2, 5, 4, *positions)
    embedding = GroupFeatures(values, group).embedding()
    assert embedding.shape == (2, 20)
    for index in range(4):
        expected = values[:, :, index].mean((-2, -1)) if positions else values[:, :, index]
        torch.testing.assert_close(embedding[:, 5 * index : 5 * index + 5], expected)
    # The control: the mean over slices forgets which of them held what, the embedding does not.
    swapped = values[:, :, [1, 0, 2, 3]]
    torch.testing.assert_close(swapped.flatten(2).mean(2), values.flatten(2).mean(2))
    assert (GroupFeatures(swapped, group).embedding() - embedding).abs().max() > 1e-2


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
