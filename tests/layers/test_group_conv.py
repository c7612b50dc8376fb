"""G x Z2 -> G x Z2, with extent 1 and over the whole group."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.errors import ConfigurationError, SizeError
from hssl.groups import Group, Product, Rotations, Scales, Translations, Unstructured
from hssl.layers import GroupConv2d
from laws import BOUNDS, PAPER_SCALES, TURNING, error, moved, multiplication_table, noise, randomize, turning_errors


def built(group: Group, extent: int = 1, stride: int = 1, kind: type[GroupConv2d] = GroupConv2d) -> GroupConv2d:
    layer = kind(3, 2, 5, 3, group, stride=stride, padding=2, bias=True, extent=extent).double()
    randomize(layer)
    return layer


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(("size", "stride"), [(8, 1), (9, 1), (9, 2), (10, 3)])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", TURNING)
def test_turns_and_mirrors_are_exact(name: str, full: bool, size: int, stride: int, dtype: torch.dtype) -> None:
    group = TURNING[name]()
    layer = built(group, group.order if full else 1, stride).to(dtype)
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


@pytest.mark.parametrize("group", [Rotations(), Scales(PAPER_SCALES)], ids=str)
def test_with_extent_one_streams_never_mix(group: Group) -> None:
    layer = built(group)
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
