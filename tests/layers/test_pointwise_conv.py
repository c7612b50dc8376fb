"""One matrix at every element and position."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.errors import ConfigurationError, SizeError
from hssl.groups import Rotations, Scales
from hssl.layers import PointwiseConv2d
from laws import BOUNDS, TURNING, error, noise, randomize, turning_errors


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(("size", "stride"), [(8, 1), (9, 1), (9, 2)])
@pytest.mark.parametrize("name", TURNING)
def test_turns_and_mirrors_are_exact(name: str, size: int, stride: int, dtype: torch.dtype) -> None:
    group = TURNING[name]()
    layer = PointwiseConv2d(3, 2, group, stride=stride, bias=True).to(dtype)
    randomize(layer)
    values = noise(2, 3, group.order, size, size, dtype=dtype)
    assert max(turning_errors(layer, values, range(group.order), lifted=True)) <= BOUNDS[dtype]


def test_a_strided_skip_at_an_even_size_is_not_exact() -> None:
    layer = PointwiseConv2d(3, 2, Rotations(), stride=2).double()
    assert min(turning_errors(layer, noise(1, 3, 4, 8, 8), [1, 2, 3], lifted=True)) > 1e-2


def test_it_is_a_matrix_at_every_place() -> None:
    layer = PointwiseConv2d(3, 2, Scales((1.0, 2.0)), stride=2, bias=True).double()
    randomize(layer)
    assert layer.bias is not None
    values = noise(2, 3, 2, 5, 5)
    expected = torch.einsum("oc,bcghw->boghw", layer.weight[:, :, 0, 0], values[..., ::2, ::2])
    assert error(layer(values), expected + layer.bias.reshape(-1, 1, 1, 1)) <= 1e-13


def test_trap_6_there_is_no_unused_bias() -> None:
    layer = PointwiseConv2d(3, 2, Rotations())
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert list(layer.state_dict()) == ["weight"]
    layer = PointwiseConv2d(3, 2, Rotations(), bias=True)
    layer(noise(1, 3, 4, 2, 2, dtype=torch.float32)).square().sum().backward()
    assert {name for name, part in layer.named_parameters() if part.grad is not None} == {"weight", "bias"}


def test_bad_values_are_refused() -> None:
    for settings in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ConfigurationError, match=f"in_channels {settings[0]}, out_channels {settings[1]}"):
            PointwiseConv2d(settings[0], settings[1], Rotations(), stride=settings[2])
    layer = PointwiseConv2d(3, 2, Rotations())
    for shape in ((1, 3, 5, 5), (1, 2, 4, 5, 5), (1, 3, 6, 5, 5)):
        with pytest.raises(SizeError, match=r"takes features \[batch, 3, 4, height, width\]"):
            layer(torch.zeros(shape))


@pytest.mark.parametrize("size", [8, 9])
@pytest.mark.parametrize("channels_last", [False, True])
def test_positions_are_taken_before_the_product(
    size: int, channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same numbers as a strided convolution, whose gradient torch gets wrong in memory on a CPU."""
    layer = PointwiseConv2d(3, 5, Scales([1.0, 1.5]), stride=2).double()
    rows = torch.randn(4, 3, size, size, dtype=torch.float64)
    rows = rows.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    strided = F.conv2d(rows.requires_grad_(), layer.weight, stride=2)
    wanted = strided, *torch.autograd.grad(strided.square().sum(), (rows, layer.weight))
    strides = []

    def watched(values: Tensor, *arguments: Any, stride: int = 1, **named: Any) -> Tensor:
        strides.append(stride)
        return conv2d(values, *arguments, stride=stride, **named)

    conv2d = F.conv2d
    monkeypatch.setattr(F, "conv2d", watched)
    out = layer._rows(rows)
    found = out, *torch.autograd.grad(out.square().sum(), (rows, layer.weight))
    assert strides == [1]
    for one, other in zip(found, wanted, strict=True):
        assert error(one, other) <= 1e-12
    assert error(layer._rows(rows.roll(1, -1)), strided) > 1e-2
