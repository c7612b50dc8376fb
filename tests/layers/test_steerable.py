"""Filters made anew in each forward: precision, gradients, and no state beside the weight."""

import copy
import math

import pytest
import torch

from hssl.groups import Rotations, Scales
from hssl.layers import GroupConv2d, LiftingConv2d, hermite_gauss_basis
from laws import PAPER_SCALES, error, noise, randomize


def test_trap_5_double_gives_the_basis_all_its_digits() -> None:
    layer = LiftingConv2d(2, 3, 7, 3, Scales(PAPER_SCALES))
    assert layer.weight.dtype == torch.float32
    layer(noise(1, 2, 9, 9, dtype=torch.float32))  # whatever a float32 pass may leave behind
    layer.double()
    basis = hermite_gauss_basis(7, 3, PAPER_SCALES)
    expected = torch.einsum("ocf,fskl->ocskl", layer.weight, basis)
    assert error(layer.kernels(), expected) <= 1e-14
    # The control: a basis that went through float32 is nowhere near.
    assert error(torch.einsum("ocf,fskl->ocskl", layer.weight, basis.float().double()), expected) > 1e-10


def test_trap_8_the_state_dict_is_the_weight_in_both_modes() -> None:
    layer = GroupConv2d(2, 3, 7, 3, Rotations(), bias=True, extent=4)
    values = noise(1, 2, 4, 9, 9, dtype=torch.float32)
    layer(values)
    training = set(layer.state_dict())
    layer.eval()
    layer(values)
    assert set(layer.state_dict()) == training == {"weight", "bias"}
    assert not list(layer.buffers())


def test_trap_8_deep_copies_and_teachers_do_not_go_stale() -> None:
    student = LiftingConv2d(1, 2, 5, 2, Rotations()).double().eval()
    images = noise(1, 1, 7, 7)
    student(images)
    teacher = copy.deepcopy(student)
    assert torch.equal(teacher(images), student(images))
    target = student(images).detach()
    with torch.no_grad():
        student.weight.add_(0.5)
        teacher.weight.lerp_(student.weight, 0.5)  # an exponential moving average in eval mode
    halfway = (target + student(images).detach()) / 2
    assert error(teacher(images), halfway) <= 1e-13
    assert error(student.eval()(images), target) > 1e-2  # a second eval() keeps no old filters
    fresh = LiftingConv2d(1, 2, 5, 2, Rotations()).double()
    fresh.load_state_dict(student.state_dict())
    assert torch.equal(fresh(images), student(images))


def test_filters_have_their_gradient_in_both_modes() -> None:
    images = noise(1, 1, 6, 6)
    for training in (True, False):
        layer = LiftingConv2d(1, 2, 3, 2, Rotations(), padding=1, bias=True).double().train(training)
        randomize(layer)

        def function(weight: torch.Tensor, x: torch.Tensor, layer: LiftingConv2d = layer) -> torch.Tensor:
            out = torch.func.functional_call(layer, {"weight": weight}, (x,))
            assert isinstance(out, torch.Tensor)
            return out

        assert torch.autograd.gradcheck(function, (layer.weight.detach().requires_grad_(), images.requires_grad_()))


def test_weights_begin_within_the_stated_range() -> None:
    layer = GroupConv2d(6, 20, 7, 3, Rotations(), bias=True, extent=4)
    bound = 1 / math.sqrt(6 * 4 * 9)
    assert layer.weight.shape == (20, 6, 4, 9)
    assert bound * 0.98 < layer.weight.abs().max() <= bound
    assert layer.bias is not None
    assert not layer.bias.any()


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_a_first_pass_without_gradients_leaves_training_possible(mode: type[torch.no_grad]) -> None:
    layer = LiftingConv2d(1, 1, 5, 3, Scales((1.0, 1.1 if mode is torch.no_grad else 1.2)))
    images = noise(1, 1, 6, 6, dtype=torch.float32)
    with mode():
        layer(images)
    layer(images).sum().backward()
    assert layer.weight.grad is not None
