"""Every plan on a GPU against the plain formulation in float64 on the CPU."""

import copy

import pytest
import torch
from torch import Tensor

from hssl.backbones import CIFAR10ResNet20, SteerableBackbone, ThreeLayer
from hssl.groups import Rotations, RowLayout, Scales, Streams, Translations
from hssl.layers import PLAN_CHOICES, GroupConv2d, LiftingConv2d, SteerableConv2d

SCALES = Scales((1.0, 1.25, 1.5, 1.75))
LAYERS = {
    "lifting": lambda: LiftingConv2d(3, 16, 7, 3, SCALES, padding=3),
    "strided": lambda: GroupConv2d(16, 32, 7, 3, SCALES, stride=2, padding=3),
    "cropped below its padding": lambda: GroupConv2d(8, 16, 7, 3, SCALES, padding=1),
    "rotations": lambda: GroupConv2d(16, 16, 7, 3, Rotations(), padding=3),
    "translations": lambda: GroupConv2d(16, 24, 7, 3, Translations(), stride=2, padding=3),
}


def results(layer: SteerableConv2d, maps: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """Output and gradients of rows that lie stream after stream, in float64 on the CPU."""
    maps = maps.detach().clone().requires_grad_()
    layer.zero_grad()
    out = layer.rows(maps, RowLayout((len(maps) // layer.group.streams,) * layer.group.streams))
    out.backward(gradient.to(out.dtype))
    assert layer.weight.grad is not None
    assert maps.grad is not None
    found = {"out": out, "rows": maps.grad, "weight": layer.weight.grad}
    return {name: tensor.detach().double().cpu() for name, tensor in found.items()}


def truth(layer: SteerableConv2d, maps: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    exact = copy.deepcopy(layer).double().cpu()
    exact.plan = "direct"
    return results(exact, maps.double().cpu(), gradient.double().cpu())


def distance(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def example(name: str) -> tuple[SteerableConv2d, Tensor, Tensor]:
    torch.manual_seed(0)
    layer = LAYERS[name]()
    maps = torch.randn(3 * layer.group.streams, layer.in_channels, 17, 17)
    with torch.no_grad():
        out = layer.rows(maps, RowLayout((3,) * layer.group.streams))
    return layer, maps, torch.randn_like(out)


@pytest.mark.parametrize("plan", [plan for plan in PLAN_CHOICES if plan != "plain"])
@pytest.mark.parametrize("name", LAYERS)
def test_plans_give_the_same_numbers(name: str, plan: str, gpu: torch.device) -> None:
    layer, maps, gradient = example(name)
    expected = truth(layer, maps, gradient)
    layer.to(gpu).plan = plan  # type: ignore[assignment]
    found = results(layer, maps.to(gpu), gradient.to(gpu))
    for what, tensor in expected.items():
        assert distance(found[what], tensor) < 1e-5, what
    # The bound tells filters that are not the same: a weight changed by a hundredth in one place breaks it.
    with torch.no_grad():
        layer.weight[0, 0] *= 1.01
    assert distance(results(layer, maps.to(gpu), gradient.to(gpu))["out"], expected["out"]) > 1e-5


@pytest.mark.parametrize("plan", ["direct", "cropped", "separable", "auto"])
@pytest.mark.parametrize("name", LAYERS)
def test_half_precision_is_half_precision(name: str, plan: str, gpu: torch.device) -> None:
    layer, maps, gradient = example(name)
    expected = truth(layer, maps, gradient)
    layer.to(gpu).plan = plan  # type: ignore[assignment]
    with torch.autocast("cuda", torch.bfloat16):
        found = results(layer, maps.to(gpu), gradient.to(gpu))
    for what, tensor in expected.items():
        # Eight bits a factor; sums are kept in float32.
        assert 1e-5 < distance(found[what], tensor) < 2e-2, what


@pytest.mark.parametrize("kind", [ThreeLayer, CIFAR10ResNet20])
def test_chosen_streams_are_those_of_the_whole(kind: type[SteerableBackbone], gpu: torch.device) -> None:
    torch.manual_seed(0)
    network = kind(SCALES, in_channels=1, resolution=28, width=1 / 16).double().to(gpu).eval()
    images = torch.randn(6, 1, 28, 28, dtype=torch.float64, device=gpu)
    elements = torch.randint(0, 4, (6, 2))
    whole = network(images).values
    rows = network(images, Streams.of(elements, 4).to(gpu))
    for image in range(6):
        for element in elements[image].tolist():
            row = rows.values[rows.streams.slots[image, element]]
            assert distance(row, whole[image, :, element]) < 1e-10
            assert distance(row, whole[image, :, (element + 1) % 4]) > 1e-3


def test_a_network_compiles_whole(gpu: torch.device) -> None:
    torch.manual_seed(0)
    network = ThreeLayer(SCALES, resolution=28, width=1 / 4).to(gpu)
    images = torch.randn(8, 1, 28, 28, device=gpu)
    expected = network(images).values
    expected.square().mean().backward()
    gradients = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    network.zero_grad()
    compiled = torch.compile(lambda x: network(x).values, fullgraph=True)
    found = compiled(images)
    found.square().mean().backward()
    assert distance(found, expected) < 1e-4
    again = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert len(again) == len(gradients) > 0
    for one, other in zip(again, gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-2, atol=1e-3 * float(other.abs().max()))
