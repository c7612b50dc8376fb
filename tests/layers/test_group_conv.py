"""G x Z2 -> G x Z2, with extent 1 and over the whole group."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.errors import ConfigurationError, SizeError
from hssl.groups import Group, Product, Rotations, Scales, Translations, Unstructured
from hssl.layers import PLANS, BasisKind, GroupConv2d, PlanChoice
from laws import (
    BOUNDS,
    PAPER_SCALES,
    PLANNED,
    TURNING,
    error,
    moved,
    multiplication_table,
    noise,
    outcome,
    plan_error,
    randomize,
    turning_errors,
)


def built(group: Group, extent: int = 1, stride: int = 1, kind: type[GroupConv2d] = GroupConv2d) -> GroupConv2d:
    layer = kind(3, 2, 5, 3, group, stride=stride, padding=2, bias=True, extent=extent).double()
    randomize(layer)
    return layer


# Folded, a layer is turned copies of one convolution by construction: only the plain formulation can break the law.
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(("size", "stride"), [(8, 1), (9, 1), (9, 2), (10, 3)])
@pytest.mark.parametrize(("full", "plan"), [(False, "plain"), (False, "auto"), (True, "plain")])
@pytest.mark.parametrize("name", TURNING)
def test_turns_and_mirrors_are_exact(
    name: str, full: bool, plan: PlanChoice, size: int, stride: int, dtype: torch.dtype
) -> None:
    group = TURNING[name]()
    layer = built(group, group.order if full else 1, stride).to(dtype)
    layer.plan = plan
    values = noise(2, 3, group.order, size, size, dtype=dtype)
    assert max(turning_errors(layer, values, range(group.order), lifted=True)) <= BOUNDS[dtype]


@pytest.mark.parametrize("name", TURNING)
def test_full_extent_is_the_sum_written_out(name: str) -> None:
    """z'_g = sum over h of z_h correlated with T_g psi[g^-1 h]."""
    group = TURNING[name]()
    layer, order = built(group, group.order), group.order
    table = multiplication_table(order)
    basis = layer._combine(layer.weight)[:, :, :, 0]
    values = noise(1, 3, order, 7, 7)
    out = layer(values)
    assert layer.bias is not None
    for g in range(order):
        inverse = table[g].index(0)
        expected = sum(
            F.conv2d(values[:, :, h], moved(basis[:, :, table[inverse][h]], g), padding=2) for h in range(order)
        )
        assert isinstance(expected, Tensor)
        assert error(out[:, :, g], expected + layer.bias.reshape(1, -1, 1, 1)) <= 1e-12


@pytest.mark.parametrize("plan", ["plain", "auto"])
@pytest.mark.parametrize("group", [Rotations(), Scales(PAPER_SCALES)], ids=str)
def test_with_extent_one_streams_never_mix(group: Group, plan: PlanChoice) -> None:
    layer = built(group)
    layer.plan = plan
    values = noise(1, 3, group.streams, 7, 7)
    other = values.clone()
    other[:, :, 2] += 1
    changed = (layer(values) - layer(other)).abs().amax(dim=(0, 1, 3, 4)) > 1e-9
    assert changed.tolist() == [stream == 2 for stream in range(group.streams)]
    for stream in range(group.streams):
        alone = F.conv2d(values[:, :, stream], layer.kernels()[:, :, stream], layer.bias, padding=2)
        assert error(layer(values)[:, :, stream], alone) <= 1e-13


def test_full_extent_mixes_all_streams() -> None:
    layer = built(Rotations(), 4)
    values = noise(1, 3, 4, 7, 7)
    other = values.clone()
    other[:, :, 2] += 1
    assert bool(((layer(values) - layer(other)).abs().amax(dim=(0, 1, 3, 4)) > 1e-3).all())


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", TURNING)
def test_turns_and_circular_shifts_together_are_exact(name: str, full: bool, size: int) -> None:
    first = TURNING[name]()
    space = Product(first, Translations((size, size), circular=True))
    layer = built(Product(first, Translations(circular=True)), first.order if full else 1)
    values = noise(1, 3, *space.axes)
    before = layer(values)
    for element in range(0, space.order, 7):
        moved_values = space.transform_features(values, element)
        assert error(layer(moved_values), space.transform_features(before, element)) <= 1e-12


class Unturned(GroupConv2d):
    """Wrong on purpose: the second layer's kernels are not turned."""

    def kernels(self) -> Tensor:
        return super().kernels()[:, :, :1].expand(-1, -1, 4, -1, -1)


class ZeroPaddedAxis(GroupConv2d):
    """Wrong on purpose: the group axis is padded with zeros instead of read cyclically."""

    def kernels(self) -> Tensor:
        kernels = super().kernels().clone()
        for g in range(4):
            kernels[:, :, g, :g] = 0
        return kernels


class Unshifted(GroupConv2d):
    """Wrong on purpose: turned, but not shifted along the group axis."""

    def kernels(self) -> Tensor:
        turned = self.group.orient(self._combine(self.weight))
        return turned.transpose(2, 3)


@pytest.mark.parametrize(("kind", "extent"), [(Unturned, 1), (ZeroPaddedAxis, 4), (Unshifted, 4)])
def test_controls_that_break_the_law_are_seen(kind: type[GroupConv2d], extent: int) -> None:
    errors = turning_errors(built(Rotations(), extent, kind=kind), noise(1, 3, 4, 9, 9), [0, 1, 2, 3], lifted=True)
    assert errors[0] == 0
    assert min(errors[1:]) > 1e-2


# (stride, padding, height, width): no padding, padding smaller than the rim of zeros, sizes of both parities, a map of
# another height than width, and sizes at which quarter turns are not exact.
PLACES = [(1, 3, 9, 9), (1, 0, 8, 8), (1, 1, 8, 11), (2, 3, 9, 9), (2, 3, 10, 10), (2, 0, 9, 10), (3, 2, 12, 8)]


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("basis", ["sesn", "untruncated"])
@pytest.mark.parametrize("plan", [*PLANS, "auto"])
@pytest.mark.parametrize("name", PLANNED)
def test_every_plan_equals_the_plain_formulation(
    name: str, plan: PlanChoice, basis: BasisKind, dtype: torch.dtype
) -> None:
    group = PLANNED[name]()
    for stride, padding, *size in PLACES:
        layer = GroupConv2d(3, 2, 7, 3, group, stride, padding, bias=True, basis=basis).to(dtype)
        randomize(layer)
        values = noise(2, 3, group.streams, *size, dtype=dtype)
        assert plan_error(layer, values, plan) <= BOUNDS[dtype], (stride, padding, size)


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_of_other_filters_would_be_seen(plan: PlanChoice) -> None:
    """The control: the filters of a scale that is a little off."""
    layer = GroupConv2d(3, 2, 7, 3, Scales((1.0, 1.7)), padding=3).double()
    values = noise(2, 3, 2, 9, 9)
    right = outcome(layer, values, "plain")
    layer.group = Scales((1.0, 1.6))
    assert min(error(outcome(layer, values, plan)[name], right[name]) for name in right) > 1e-3


@pytest.mark.parametrize("plan", [*PLANS, "auto"])
@pytest.mark.parametrize("name", ["scales", "C4"])
def test_the_layout_in_memory_changes_no_number(name: str, plan: PlanChoice) -> None:
    group = PLANNED[name]()
    layer = built(group)
    values = noise(4, 3, group.streams, 9, 9)
    by_stream = values.permute(2, 0, 1, 3, 4).contiguous().permute(1, 2, 0, 3, 4)
    channels_last = values.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
    strided = noise(8, 3, group.streams, 9, 18)[::2, ..., ::2]
    strided.copy_(values)
    for other in (by_stream, channels_last, strided):
        assert other.stride() != values.stride()
        assert plan_error(layer, other, plan) <= 1e-12
        assert error(layer(other), layer(values)) <= 1e-12


def test_a_plan_that_a_group_cannot_have_is_another_one() -> None:
    """Turned scales are no products of one-dimensional functions of one axis each: they are computed dense."""
    layer = built(Product(Rotations(), Scales((1.0, 1.7))))
    values = noise(1, 3, 8, 9, 9)
    assert torch.equal(outcome(layer, values, "separable")["output"], outcome(layer, values, "cropped")["output"])


@pytest.mark.parametrize(
    ("group", "extent"),
    [
        (Scales((1.0, 1.5)), 2),  # trap 4: shifting along two scales is no group action
        (Scales(PAPER_SCALES), 6),
        (Rotations(), 2),
        (Rotations(), 0),
        (Translations(circular=True), 2),
        (Product(Scales((1.0, 1.5)), Rotations()), 8),
    ],
    ids=str,
)
def test_trap_4_an_extent_that_is_no_group_action_is_refused(group: Group, extent: int) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot have an extent of {extent}"):
        GroupConv2d(1, 1, 5, 3, group, extent=extent)


def test_a_group_in_name_only_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="group in name only"):
        GroupConv2d(1, 1, 5, 3, Unstructured(4, Rotations()))


def test_bad_features_are_refused() -> None:
    layer = GroupConv2d(2, 3, 7, 3, Rotations(), padding=1)
    for shape in ((1, 2, 9, 9), (1, 3, 4, 9, 9), (1, 2, 6, 9, 9)):
        with pytest.raises(SizeError, match=r"takes features \[batch, 2, 4, height, width\]"):
            layer(torch.zeros(shape))
    with pytest.raises(SizeError, match="kernel larger than its padded input"):
        layer(torch.zeros(1, 2, 4, 3, 9))


def test_repr_tells_group_and_sizes() -> None:
    layer = GroupConv2d(2, 3, 7, 3, Rotations(), stride=2, padding=3, bias=True, basis="untruncated", extent=4)
    for part in ("2 x 4 -> 3 x 4", "Rotations(C4)", "k=7", "e=3", "stride=2", "padding=3", "untruncated", "extent=4"):
        assert part in repr(layer)
