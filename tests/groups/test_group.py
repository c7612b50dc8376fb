"""The axioms of every closed group, and what the contract promises for all groups."""

import random
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hssl.errors import GroupError
from hssl.groups import Augmentation, Dihedral, Group, Product, Rotations, Scales, Translations, Unstructured
from hssl.groups.group import check_box
from laws import (
    CLOSED,
    check_associativity,
    check_feature_action,
    check_identity_and_inverse,
    check_image_action,
    check_invariant_distance,
    check_metric,
    check_position_action,
    moved,
    noise,
)

OPEN: dict[str, Callable[[], Group]] = {
    "scales": lambda: Scales((1.0, 1.25, 1.5)),
    "shifts with zeros": lambda: Translations((4, 4)),
    "slices": lambda: Unstructured(4, Rotations()),
    "scales x shifts": lambda: Product(Scales((1.0, 1.5)), Translations((3, 3))),
    "C4 x shifts with zeros": lambda: Product(Rotations(), Translations((3, 3))),
}


@pytest.fixture(params=CLOSED)
def group(request: pytest.FixtureRequest) -> Group:
    return CLOSED[request.param]()


def some(group: Group, arity: int, count: int = 40) -> list[tuple[int, ...]]:
    chooser = random.Random(0)
    return [tuple(chooser.randrange(group.order) for _ in range(arity)) for _ in range(count)]


def pixels_of(group: Group) -> torch.Tensor:
    """Images that the group moves without loss: a whole number of steps each way."""
    space = group.second if isinstance(group, Product) else group
    height, width = (side * space.stride for side in space.shape) if isinstance(space, Translations) else (5, 5)
    return noise(2, 3, height, width)


def test_composition_is_associative(group: Group) -> None:
    check_associativity(group, some(group, 3))


def test_identity_and_inverse(group: Group) -> None:
    check_identity_and_inverse(group, range(min(group.order, 64)))


def test_every_row_of_the_multiplication_table_is_a_permutation(group: Group) -> None:
    for (g,) in some(group, 1, 4):
        assert {group.compose(g, h) for h in range(group.order)} == set(range(group.order))


def test_images_are_acted_on(group: Group) -> None:
    check_image_action(group, pixels_of(group), some(group, 2))


def test_different_elements_move_images_differently(group: Group) -> None:
    images = pixels_of(group)
    seen = {tuple(group.transform(images, g).flatten().tolist()) for g in range(group.order)}
    assert len(seen) == group.order


def test_features_are_acted_on(group: Group) -> None:
    check_feature_action(group, noise(2, 3, *group.axes), some(group, 2))


def test_positions_move_as_features_do(group: Group) -> None:
    check_position_action(group, noise(2, 3, *group.axes), range(min(group.order, 64)))


def test_topological_distance_is_a_metric_that_the_group_keeps(group: Group) -> None:
    check_metric(group.distances("topological"))
    check_invariant_distance(group, range(min(group.order, 32)))


def test_one_element_an_example_equals_one_by_one(group: Group) -> None:
    images = pixels_of(group).repeat(3, 1, 1, 1)
    elements = torch.tensor([g for (g,) in some(group, 1, len(images))])
    together = group.transform(images, elements)
    for index, element in enumerate(elements.tolist()):
        assert torch.equal(together[index : index + 1], group.transform(images[index : index + 1], element))


@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_axioms_on_any_torus_with_any_turns(data: st.DataObject) -> None:
    side, stride = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    space = Translations((side, side), stride=stride, circular=True)
    turns = data.draw(st.sampled_from([None, Rotations(), Dihedral()]))
    group: Group = space if turns is None else Product(turns, space)
    a, b, c = (data.draw(st.integers(0, group.order - 1)) for _ in range(3))
    check_associativity(group, [(a, b, c)])
    check_identity_and_inverse(group, [a])
    check_image_action(group, noise(1, 1, side * stride, side * stride), [(a, b)])
    check_feature_action(group, noise(1, 2, *group.axes), [(a, b)])
    check_position_action(group, noise(1, 1, *group.axes), [a])
    check_invariant_distance(group, [a])


def test_the_laws_see_a_wrong_action() -> None:
    class Backwards(Rotations):
        def act(self, element: int, positions: torch.Tensor) -> torch.Tensor:
            return (positions - element) % 4

    class Stuck(Rotations):
        def transform_features(self, values: torch.Tensor, element: int) -> torch.Tensor:
            return values.roll(min(element, 1), dims=-1)

    values = noise(1, 2, 4)
    with pytest.raises(AssertionError):
        check_position_action(Backwards(), values, range(4))
    with pytest.raises(AssertionError):
        check_feature_action(Stuck(), values, [(1, 2)])
    with pytest.raises(AssertionError):  # a square of a distance has detours that are shorter
        check_metric(Translations((5, 5), circular=True).distances("euclidean"))


@pytest.mark.parametrize("name", OPEN)
def test_open_sets_say_what_they_lack(name: str) -> None:
    group = OPEN[name]()
    assert not group.closed
    last = group.order - 1
    with pytest.raises(GroupError, match=r"has no|holds no"):
        group.inverse(last)
    with pytest.raises(GroupError, match=r"has no|leaves the feature grid"):
        group.compose(last, last)
    with pytest.raises(GroupError, match=r"has no|leaves the feature grid"):
        group.act(last, torch.arange(group.order))


@pytest.mark.parametrize("name", [*CLOSED, *OPEN])
def test_contract_of_every_group(name: str) -> None:
    group = {**CLOSED, **OPEN}[name]()
    assert len(group.elements) == group.order == len(set(group.elements))
    assert group.distances("euclidean").shape == (group.order, group.order)
    assert group.distances("euclidean").dtype == torch.float64
    assert group.distance(0, group.order - 1) == group.distances()[0, -1].item()
    drawn = group.draw(5, 12, Augmentation(), torch.Generator().manual_seed(0))
    assert drawn.shape == (5, group.parameter_count)
    assert drawn.dtype == torch.float64
    images = noise(5, 2, 12, 12)
    assert group.transform_by(images, drawn).shape == images.shape
    again = {**CLOSED, **OPEN}[name]()
    assert group == again
    assert hash(group) == hash(again)
    assert group != Scales((1.0, 17.0))


@pytest.mark.parametrize("element", [-1, 10_000])
def test_an_element_that_is_none_is_refused(group: Group, element: int) -> None:
    asked: list[Callable[[], object]] = [
        lambda: group.inverse(element),
        lambda: group.compose(0, element),
        lambda: group.compose(element, 0),
        lambda: group.act(element, torch.arange(2)),
        lambda: group.transform(noise(1, 1, 4, 4), element),
        lambda: group.transform_features(noise(1, 1, *group.axes), element),
        lambda: group.distance(0, element),
    ]
    for ask in asked:
        with pytest.raises(GroupError, match=f"from 0 to {group.order - 1}"):
            ask()


def test_elements_and_images_must_be_as_many() -> None:
    with pytest.raises(GroupError, match="2 elements for 3 images"):
        Rotations().transform(noise(3, 1, 4, 4), torch.tensor([0, 1]))


def test_a_box_that_does_not_fit_is_refused() -> None:
    check_box(Rotations(), (4,))
    with pytest.raises(GroupError, match="one extent for each of its 1 axes"):
        check_box(Rotations(), (1, 1))
    for size in (0, 5):
        with pytest.raises(GroupError, match="does not fit"):
            check_box(Rotations(), (size,))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"translation_strength": -0.1}, "share of the image"),
        ({"translation_strength": 1.0}, "share of the image"),
        ({"smallest_scale": 0.0}, "strongest downscaling"),
        ({"smallest_scale": 1.1}, "strongest downscaling"),
        ({"scale_draw": "some"}, "draw scales"),
    ],
)
def test_augmentation_refuses_what_cannot_be_drawn(values: dict[str, object], message: str) -> None:
    with pytest.raises(GroupError, match=message):
        Augmentation(**values)  # type: ignore[arg-type]


def test_the_slow_twin_moves_as_it_should() -> None:
    image = torch.tensor([[1, 2], [3, 4]])
    assert moved(image, 1).tolist() == [[2, 4], [1, 3]]  # counter-clockwise
    assert moved(image, 4).tolist() == [[2, 1], [4, 3]]
    assert moved(image, 5).tolist() == [[1, 3], [2, 4]]  # mirrored first, then turned
