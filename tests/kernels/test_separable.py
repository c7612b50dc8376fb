"""One-dimensional filters against what they are short for: dense kernels with one row or one column."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.kernels.separable import SeparableFilters
from hssl.layers.basis import hermite_gauss_functions
from laws import error, noise

CHANNELS, OUT, E, K = 3, 2, 3, 5
FUNCTIONS = hermite_gauss_functions(K, E, (1.3,))[0]


def along(axis: int, maps: Tensor, function: Tensor, stride: int, padding: int) -> Tensor:
    """Each channel alone, by a kernel of one column (axis 0) or one row (axis 1)."""
    kernel = function[:, None] if axis == 0 else function[None, :]
    step, rim = ((stride, 1), (padding, 0)) if axis == 0 else ((1, stride), (0, padding))
    single = maps.flatten(0, 1).unsqueeze(1)
    out = F.conv2d(single, kernel[None, None], stride=step, padding=rim)
    return out.reshape(*maps.shape[:2], *out.shape[2:])


@pytest.mark.parametrize(("stride", "padding"), [(1, 2), (2, 2), (2, 0), (3, 1)])
def test_functions_along_each_axis(stride: int, padding: int) -> None:
    filters = SeparableFilters(FUNCTIONS, CHANNELS, stride, padding)
    block = noise(2, CHANNELS, 8, 11)
    along_w = filters.along_w(block)
    expected = torch.cat([along(1, block, function, stride, padding) for function in FUNCTIONS], dim=1)
    assert error(along_w, expected) <= 1e-14
    assert along_w.is_contiguous(memory_format=torch.channels_last)
    for index, function in enumerate(FUNCTIONS):
        assert error(filters.along_h(along_w, index), along(0, expected, function, stride, padding)) <= 1e-14
        # The control: another function.
        assert error(filters.along_h(along_w, index), along(0, expected, FUNCTIONS[index - 1], stride, padding)) > 1e-2


@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("wants_block", [True, False])
@pytest.mark.parametrize(("stride", "padding"), [(1, 2), (2, 1)])
def test_the_convolution_and_its_gradients_are_autograds(
    stride: int, padding: int, wants_block: bool, rectify: bool
) -> None:
    filters = SeparableFilters(FUNCTIONS, CHANNELS, stride, padding)
    block, mix = noise(2, CHANNELS, 8, 11), noise(OUT, E, E, CHANNELS)

    def function(block: Tensor, mix: Tensor) -> Tensor:
        kernels = torch.einsum("onmc,ni,mj->ocij", mix, FUNCTIONS, FUNCTIONS)
        return F.conv2d(F.relu(block) if rectify else block, kernels, stride=stride, padding=padding)

    inputs = [block.clone().requires_grad_(), mix.clone().requires_grad_()]
    out = function(*inputs)
    d_out = noise(*out.shape, seed=1)
    d_block, d_mix = torch.autograd.grad(out, inputs, d_out)
    mixing = mix.flatten(1)[..., None, None].contiguous(memory_format=torch.channels_last)
    measured = torch.empty_like(out)
    filters.convolve(block, mixing, measured, rectify)
    assert error(measured, out.detach()) <= 1e-12
    begun = torch.ones_like(mixing)
    target = torch.full_like(block, 7.0) if wants_block else None
    filters.differentiate(block, d_out, mixing, begun, target, rectify)
    assert error((begun - 1).reshape(mix.shape), d_mix) <= 1e-12
    # The control: n and m exchanged.
    assert error((begun - 1).reshape(mix.shape).transpose(1, 2), d_mix) > 1e-2
    if target is not None:
        assert error(target, d_block) <= 1e-12
