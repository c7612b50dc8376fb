"""Filters made anew in each forward: precision, gradients, and no state beside the weight."""

import copy
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.errors import SizeError
from hssl.groups import Rotations, RowLayout, Scales
from hssl.layers import (
    PLAN_CHOICES,
    PLANS,
    GroupConv2d,
    LiftingConv2d,
    PlanChoice,
    SteerableConv2d,
    hermite_gauss_basis,
)
from laws import PAPER_SCALES, PLANNED, error, noise, outcome, randomize


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


# -- rows --------------------------------------------------------------------------------------------------------------

SCALED = Scales(PAPER_SCALES)


def group_layer(plan: PlanChoice = "auto", dtype: torch.dtype = torch.float64) -> GroupConv2d:
    layer = GroupConv2d(3, 2, 7, 3, SCALED, stride=2, padding=3, bias=True).to(dtype)
    randomize(layer)
    layer.plan = plan
    return layer


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("plan", [*PLANS, "auto"])
@pytest.mark.parametrize("counts", [(2, 1, 3, 1, 1, 2), (0, 4, 0, 0, 6, 0), (0, 0, 0, 0, 0, 10)], ids=str)
def test_each_row_sees_the_filters_of_its_stream(counts: tuple[int, ...], plan: PlanChoice, rectify: bool) -> None:
    layer, rows = group_layer(plan), noise(10, 3, 9, 9)
    stream_of_row = [stream for stream, count in enumerate(counts) for _ in range(count)]
    given = rows.clone().requires_grad_()
    out = layer.rows(given, RowLayout(counts), rectify)
    slow = rows.clone().requires_grad_()
    kernels = layer.kernels()
    seen = F.relu(slow) if rectify else slow
    expected = torch.cat(
        [
            F.conv2d(seen[row : row + 1], kernels[:, :, stream], layer.bias, stride=2, padding=3)
            for row, stream in enumerate(stream_of_row)
        ]
    )
    assert error(out, expected) <= 1e-12
    ours, theirs = (
        torch.autograd.grad(one, (of, layer.weight, layer.bias), noise(*one.shape, seed=1))  # type: ignore[arg-type]
        for one, of in ((out, given), (expected, slow))
    )
    assert max(error(one, other) for one, other in zip(ours, theirs, strict=True)) <= 1e-12
    # The control: the same rows as another stream's.
    if counts[0] != counts[-1]:
        assert error(layer.rows(rows, RowLayout(counts[::-1]), rectify), expected) > 1e-2


@pytest.mark.parametrize("plan", [*PLANS, "auto"])
@pytest.mark.parametrize("name", ["scales", "C4", "D4", "C4 x scales", "torus"])
def test_a_single_count_is_the_first_stream_for_all(name: str, plan: PlanChoice) -> None:
    layer = LiftingConv2d(3, 2, 7, 3, PLANNED[name](), padding=3).double()
    randomize(layer)
    layer.plan = plan
    rows = noise(4, 3, 9, 9)
    first = layer.materialize()(rows)[:, :, 0]
    assert error(layer.rows(rows, RowLayout((4,))), first) <= 1e-12


@pytest.mark.parametrize("plan", PLAN_CHOICES)
def test_interleaved_rows_are_the_plain_formulation(plan: PlanChoice) -> None:
    """Image after image with all streams of each, whatever the plan."""
    layer = group_layer(plan)
    values = noise(2, 3, 6, 9, 9)
    interleaved = values.transpose(1, 2).flatten(0, 1)
    for rectify in (False, True):
        layer.plan = plan
        out = layer.rows(interleaved, RowLayout((2,) * 6, interleaved=True), rectify)
        layer.plan = "plain"
        expected = layer(F.relu(values) if rectify else values)
        assert torch.equal(out.reshape(2, 6, *out.shape[1:]).transpose(1, 2), expected)


@pytest.mark.parametrize("counts", [(5,), (1, 1, 1, 1, 1, 1), (2, 2), ()], ids=str)
def test_rows_that_their_layout_does_not_describe_are_refused(counts: tuple[int, ...]) -> None:
    with pytest.raises(SizeError, match=r"4 rows with counts[\s\S]*counts of 6 streams, or of one"):
        group_layer().rows(noise(4, 3, 9, 9), RowLayout(counts))


def test_rows_on_another_device_are_refused() -> None:
    """What lies behind a pointer of another device is no number."""
    layer = group_layer().to("meta")
    with pytest.raises(SizeError, match=r"rows on cpu, the weight on meta"):
        layer.rows(noise(6, 3, 9, 9), RowLayout((1,) * 6))


@pytest.mark.parametrize("plan", PLANS)
def test_an_infinite_gradient_stays_where_nothing_passed(plan: PlanChoice) -> None:
    """Infinity times a mask of zeros is no number; ReLU's own backward selects instead."""
    layer = group_layer(plan)
    rows = torch.full((6, 3, 9, 9), -1.0, dtype=torch.float64, requires_grad=True)
    out = layer.rows(rows, RowLayout((1,) * 6), rectify=True)
    gradient = torch.zeros_like(out)
    gradient[:, :, 2, 2] = torch.inf
    out.backward(gradient)
    assert rows.grad is not None
    assert torch.equal(rows.grad, torch.zeros_like(rows))


def test_layout_counts_all_rows() -> None:
    assert RowLayout((2, 0, 3)).total == 5
    assert RowLayout(()).total == 0


def test_rows_smaller_than_the_kernel_are_refused() -> None:
    layer = GroupConv2d(3, 2, 7, 3, SCALED)
    with pytest.raises(SizeError, match="kernel larger than its padded input"):
        layer.rows(noise(6, 3, 5, 9, dtype=torch.float32), RowLayout((1,) * 6))


# -- half precision ----------------------------------------------------------------------------------------------------


def in_bfloat16(layer: SteerableConv2d, inputs: Tensor, plan: PlanChoice) -> dict[str, Tensor]:
    with torch.autocast("cpu", torch.bfloat16):
        outcomes = outcome(layer, inputs, plan)
    assert outcomes["output"].dtype == torch.bfloat16
    # Master weights and what comes back to float32 inputs are float32.
    assert {outcomes[name].dtype for name in ("input", "weight", "bias")} == {torch.float32}
    return outcomes


def distance(measured: Tensor, expected: Tensor) -> float:
    """||a - b|| / ||b||: rounding errors add up as squares."""
    return float((measured.double() - expected.double()).norm() / expected.double().norm())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", ["scales", "C4", "C4 x scales", "torus"])
def test_bfloat16_costs_its_rounding_and_no_more(name: str, stride: int) -> None:
    """Within 2^-5 of float32, in values and gradients, and less than twice what the plain formulation is off."""
    group = PLANNED[name]()
    layer = GroupConv2d(6, 4, 7, 3, group, stride, padding=3, bias=True)
    randomize(layer)
    values = noise(4, 6, group.streams, 9, 9, dtype=torch.float32)
    exact = outcome(layer, values, "plain")
    plain = {key: distance(value, exact[key]) for key, value in in_bfloat16(layer, values, "plain").items()}
    for plan in (*PLANS, "auto"):
        planned = in_bfloat16(layer, values, plan)
        for key, value in planned.items():
            off = distance(value, exact[key])
            assert 1e-5 < off < 2**-5, (plan, key)
            assert off < 2 * plain[key], (plan, key)


def test_filters_are_rounded_once() -> None:
    """Made in the weight's precision, whatever the autocast: a product of rounded factors is another filter."""
    layer = group_layer("direct", torch.float32)
    rows, layout = noise(6, 3, 9, 9, dtype=torch.float32), RowLayout((6, 0, 0, 0, 0, 0))
    with torch.autocast("cpu", torch.bfloat16):
        out = layer.rows(rows, layout)
    assert layer.bias is not None
    bias = layer.bias.bfloat16()

    def convolved(kernels: Tensor) -> Tensor:
        once = F.conv2d(rows.bfloat16(), kernels[:, :, 0].bfloat16(), stride=2, padding=3)
        return once + bias.reshape(-1, 1, 1)

    assert torch.equal(out, convolved(layer.kernels()))
    with torch.autocast("cpu", torch.bfloat16):
        twice = layer.kernels()
    assert not torch.equal(out, convolved(twice))


def test_float64_stays_float64_under_autocast() -> None:
    layer, values = group_layer(), noise(2, 3, 6, 9, 9)
    expected = layer(values)
    with torch.autocast("cpu", torch.bfloat16):
        assert error(layer(values), expected) <= 1e-12


# -- compiled ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", PLAN_CHOICES)
def test_a_layer_compiles_into_one_graph(plan: PlanChoice) -> None:
    """Forward and backward, without a break. By aot_eager: tracing is what can break; inductor needs a compiler."""
    torch.compiler.reset()
    layer = group_layer(plan, torch.float32)
    values = noise(2, 3, 6, 9, 9, dtype=torch.float32)
    expected = outcome(layer, values, plan)
    layer.compile(fullgraph=True, backend="aot_eager")
    compiled = outcome(layer, values, plan)
    assert max(error(compiled[name], expected[name]) for name in expected) <= 1e-5
    # Rows of other counts and a map of another size are another graph, and as right.
    other = noise(3, 3, 6, 11, 8, dtype=torch.float32)
    assert error(layer(other), group_layer("plain", torch.float32)(other)) <= 1e-5


def test_a_break_in_the_graph_would_be_seen() -> None:
    class Broken(GroupConv2d):
        def kernels(self) -> Tensor:
            torch._dynamo.graph_break()
            return super().kernels()

    torch.compiler.reset()
    layer = Broken(3, 2, 7, 3, SCALED, padding=3)
    layer.compile(fullgraph=True, backend="aot_eager")
    with pytest.raises(torch._dynamo.exc.Unsupported):
        layer(noise(2, 3, 6, 9, 9, dtype=torch.float32))
