"""Convolutions as products with Toeplitz matrices against torch's own."""

import pytest
import torch
from torch.nn import functional as F

from hssl.kernels.toeplitz import ToeplitzConvolution, is_faster
from laws import error, noise

COUNTS = [2, 0, 1]


def test_few_channels_pay() -> None:
    assert is_faster(1)
    assert is_faster(3)
    assert not is_faster(32)


@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("wants_maps", [True, False])
@pytest.mark.parametrize(
    ("size", "k", "stride", "padding"), [((8, 11), 5, 1, 2), ((9, 9), 3, 2, 0), ((7, 12), 7, 3, 3)]
)
def test_the_convolution_and_its_gradients_are_autograds(
    size: tuple[int, int], k: int, stride: int, padding: int, wants_maps: bool, rectify: bool
) -> None:
    maps, kernels = noise(3, 3, *size), noise(4, 3, 3, k, k, seed=2)
    inputs = [maps.clone().requires_grad_(), kernels.clone().requires_grad_()]
    parts = torch.split(F.relu(inputs[0]) if rectify else inputs[0], COUNTS)
    pairs = zip(parts, inputs[1].unbind(2), strict=True)
    out = torch.cat([F.conv2d(part, one, stride=stride, padding=padding) for part, one in pairs])
    d_out = noise(*out.shape, seed=1)
    d_maps, d_kernels = torch.autograd.grad(out, inputs, d_out)
    convolution = ToeplitzConvolution(k, COUNTS, size, stride, padding)
    found = torch.empty_like(out)
    convolution.convolve(maps, kernels, found, rectify)
    assert error(found, out.detach()) <= 1e-12
    begun = torch.ones_like(kernels)
    target = torch.full_like(maps, 7.0) if wants_maps else None
    convolution.differentiate(maps, d_out, kernels, begun, target, rectify)
    assert error(begun - 1, d_kernels) <= 1e-12
    # The control: the kernel's axes exchanged.
    assert error((begun - 1).transpose(3, 4), d_kernels) > 1e-2
    if target is not None:
        assert error(target, d_maps) <= 1e-12
