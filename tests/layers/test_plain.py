"""materialize(): one plain convolution that gives the same numbers."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from hssl.groups import Dihedral, Group, Product, Rotations, Scales, Translations
from hssl.layers import BasisKind, GroupConv2d, LiftingConv2d, PlainConv2d, PointwiseConv2d
from hssl.layers.plain import pad_circular
from laws import PAPER_SCALES, error, noise, randomize

GROUPS: dict[str, Callable[[], Group]] = {
    "C4": Rotations,
    "D4": Dihedral,
    "scales": lambda: Scales(PAPER_SCALES),
    "shifts": Translations,
    "torus": lambda: Translations(circular=True),
    "C4 x torus": lambda: Product(Rotations(), Translations(circular=True)),
    "C4 x scales": lambda: Product(Rotations(), Scales((1.0, 1.5))),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("basis", ["sesn", "untruncated"])
@pytest.mark.parametrize("name", GROUPS)
def test_every_layer_equals_its_plain_convolution(name: str, basis: BasisKind, bias: bool) -> None:
    group = GROUPS[name]()
    streams = group.streams
    filters = group.filter_group
    images, values = noise(2, 3, 9, 9), noise(2, 3, streams, 9, 9)
    for stride in (1, 2):
        layers: list[tuple[LiftingConv2d | GroupConv2d | PointwiseConv2d, torch.Tensor]] = [
            (LiftingConv2d(3, 2, 7, 3, group, stride, 3, bias, basis), images),
            (GroupConv2d(3, 2, 7, 3, group, stride, 3, bias, basis), values),
            (PointwiseConv2d(3, 2, group, stride, bias), values),
        ]
        if filters.closed and filters.turns:
            layers.append((GroupConv2d(3, 2, 7, 3, group, stride, 3, bias, basis, extent=streams), values))
        for layer, inputs in layers:
            randomize(layer.double())
            plain = layer.materialize()
            assert isinstance(plain, PlainConv2d)
            assert isinstance(plain.conv, nn.Conv2d)
            assert error(plain(inputs), layer(inputs)) <= 1e-13
            step, other = layer.spatial_step("layer"), plain.spatial_step("layer")
            assert step == other


def test_a_plain_convolution_is_a_copy() -> None:
    layer = LiftingConv2d(1, 2, 5, 2, Rotations()).double()
    plain, images = layer.materialize(), noise(1, 1, 7, 7)
    before = plain(images)
    with torch.no_grad():
        layer.weight.add_(1.0)
    assert torch.equal(plain(images), before)
    assert error(layer(images), before) > 1e-2


@pytest.mark.parametrize(("size", "padding"), [((5, 6), 2), ((5, 6), 5), ((2, 3), 3), ((1, 1), 4), ((2, 5), 9)])
def test_wrapping_goes_around_as_often_as_it_takes(size: tuple[int, int], padding: int) -> None:
    values = noise(2, 3, *size)
    wrapped = pad_circular(values, padding)
    height, width = size
    assert wrapped.shape == (2, 3, height + 2 * padding, width + 2 * padding)
    for row in range(wrapped.shape[-2]):
        for column in range(wrapped.shape[-1]):
            expected = values[..., (row - padding) % height, (column - padding) % width]
            assert torch.equal(wrapped[..., row, column], expected)
