"""Banded matrices against the one-dimensional filters that they stand for, and against dense kernels."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.kernels.banded import BandedFilters
from hssl.layers.basis import hermite_gauss_functions
from laws import error, noise

CHANNELS, OUT, E, K = 3, 2, 3, 5
FUNCTIONS = hermite_gauss_functions(K, E, (1.3, 0.8, 1.0))
SHAPES = [(8, 11), (9, 9)]
COUNTS = [2, 0, 1]


def test_the_arrangement_and_its_adjoint() -> None:
    mix = noise(OUT, E, E, CHANNELS)
    arranged = BandedFilters.arrange(mix)
    assert arranged.shape == (E, E * CHANNELS, OUT)
    assert float(arranged[1, 2 * CHANNELS + 1, 0]) == float(mix[0, 1, 2, 1])
    assert torch.equal(BandedFilters.gather(arranged, mix.shape), mix)


@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("wants_block", [True, False])
@pytest.mark.parametrize(("stride", "padding"), [(1, 2), (2, 1), (3, 0)])
@pytest.mark.parametrize("size", SHAPES)
def test_the_convolution_and_its_gradients_are_autograds(
    size: tuple[int, int], stride: int, padding: int, wants_block: bool, rectify: bool
) -> None:
    filters = BandedFilters(FUNCTIONS, COUNTS, size, stride, padding)
    block, mix = noise(3, CHANNELS, *size), noise(OUT, E, E, CHANNELS)

    def function(block: Tensor, mix: Tensor) -> Tensor:
        parts = torch.split(F.relu(block) if rectify else block, COUNTS)
        kernels = [torch.einsum("onmc,ni,mj->ocij", mix, one, one) for one in FUNCTIONS]
        found = [
            F.conv2d(part, kernel, stride=stride, padding=padding) for part, kernel in zip(parts, kernels, strict=True)
        ]
        return torch.cat(found)

    inputs = [block.clone().requires_grad_(), mix.clone().requires_grad_()]
    out = function(*inputs)
    d_out = noise(*out.shape, seed=1)
    d_block, d_mix = torch.autograd.grad(out, inputs, d_out)
    mixing = BandedFilters.arrange(mix)
    measured = torch.empty_like(out)
    filters.convolve(block, mixing, measured, rectify)
    assert error(measured, out.detach()) <= 1e-12
    begun = torch.ones_like(mixing)
    target = torch.full_like(block, 7.0) if wants_block else None
    filters.differentiate(block, d_out, mixing, begun, target, rectify)
    found = BandedFilters.gather(begun - 1, mix.shape)
    assert error(found, d_mix) <= 1e-12
    # The control: n and m exchanged.
    assert error(found.transpose(1, 2), d_mix) > 1e-2
    if target is not None:
        assert error(target, d_block) <= 1e-12
