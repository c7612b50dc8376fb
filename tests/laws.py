"""Group axioms, equivariance laws and equality of plans as plain functions, and slow twins to hold them against."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from hssl.backbones import Backbone
from hssl.groups import Dihedral, Group, Product, Rotations, Scales, Translations
from hssl.layers import PlanChoice, SteerableConv2d

PAPER_SCALES = (1.0, 1.25, 1.33, 1.5, 1.66, 1.75)

# Built anew for each test: a name and a group for which every axiom holds.
CLOSED: dict[str, Callable[[], Group]] = {
    "C4": Rotations,
    "D4": Dihedral,
    "torus 5x7": lambda: Translations((5, 7), circular=True),
    "torus 4x3, stride 2": lambda: Translations((4, 3), stride=2, circular=True),
    "C4 x torus 3x3": lambda: Product(Rotations(), Translations((3, 3), circular=True)),
    "C4 x torus 4x4": lambda: Product(Rotations(), Translations((4, 4), circular=True)),
    "C4 x torus 2x2, stride 3": lambda: Product(Rotations(), Translations((2, 2), stride=3, circular=True)),
    "D4 x torus 3x3": lambda: Product(Dihedral(), Translations((3, 3), circular=True)),
    "D4 x torus 4x4": lambda: Product(Dihedral(), Translations((4, 4), circular=True)),
}
# The groups whose networks are exact under quarter turns, without and with mirrors.
TURNING: dict[str, Callable[[], Group]] = {"C4": Rotations, "D4": Dihedral}
# Groups whose filters differ in what the plans know of them: turned, scaled, both, or alike; zero-padded and wrapped.
PLANNED: dict[str, Callable[[], Group]] = {
    "scales": lambda: Scales(PAPER_SCALES),
    "far scales": lambda: Scales((1.0, 1.3, 2.4)),
    "C4": Rotations,
    "D4": Dihedral,
    "shifts": Translations,
    "torus": lambda: Translations(circular=True),
    "C4 x scales": lambda: Product(Rotations(), Scales((1.0, 1.7))),
    "C4 x torus": lambda: Product(Rotations(), Translations(circular=True)),
}
# Relative errors that rounding alone explains.
BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-5}


def error(measured: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest expected entry."""
    assert measured.shape == expected.shape, (measured.shape, expected.shape)
    size = expected.detach().abs().max().item()
    assert size > 0, "nothing to compare with"
    return (measured - expected).detach().abs().max().item() / size


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normal numbers; drawn in float64, so that both precisions see the same ones."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def randomize(module: nn.Module, seed: int = 0) -> None:
    """Seeded weights and biases of unit order, so that nothing holds by being zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(values / max(1, parameter[0].numel()) ** 0.5)


# -- slow twins --------------------------------------------------------------------------------------------------------


def moved(images: Tensor, element: int) -> Tensor:
    """Element 4 m + r of D4 on [..., H, W]: mirror left and right m times, then turn r quarters; C4 comes first."""
    mirror, quarter = divmod(element, 4)
    return torch.rot90(images.flip(-1) if mirror else images, quarter, (-2, -1))


@cache
def multiplication_table(order: int) -> tuple[tuple[int, ...], ...]:
    """table[a][b] = a . b, found by moving a probe; knows nothing of the code under test."""
    probe = torch.arange(9).reshape(3, 3)
    images = [moved(probe, element) for element in range(order)]

    def find(image: Tensor) -> int:
        return next(index for index, known in enumerate(images) if torch.equal(known, image))

    return tuple(tuple(find(moved(images[b], a)) for b in range(order)) for a in range(order))


def moved_features(values: Tensor, element: int) -> Tensor:
    """(Γ_g z)_h = T_g z_(g^-1 h) on [B, C, G, H, W], written out stream by stream."""
    table = multiplication_table(values.shape[2])
    inverse = table[element].index(0)
    streams = [moved(values[:, :, table[inverse][stream]], element) for stream in range(values.shape[2])]
    return torch.stack(streams, dim=2)


# -- axioms ------------------------------------------------------------------------------------------------------------


def check_associativity(group: Group, triples: Iterable[tuple[int, int, int]]) -> None:
    for a, b, c in triples:
        assert group.compose(group.compose(a, b), c) == group.compose(a, group.compose(b, c)), (a, b, c)


def check_identity_and_inverse(group: Group, elements: Iterable[int]) -> None:
    unit = group.identity
    for g in elements:
        assert group.compose(unit, g) == g
        assert group.compose(g, unit) == g
        assert group.compose(g, group.inverse(g)) == unit
        assert group.compose(group.inverse(g), g) == unit


def check_image_action(group: Group, images: Tensor, pairs: Iterable[tuple[int, int]]) -> None:
    """T_e x = x and T_g T_h x = T_(gh) x, to the bit."""
    assert torch.equal(group.transform(images, group.identity), images)
    for g, h in pairs:
        assert torch.equal(group.transform(group.transform(images, h), g), group.transform(images, group.compose(g, h)))


def check_feature_action(group: Group, values: Tensor, pairs: Iterable[tuple[int, int]]) -> None:
    """Γ_e z = z and Γ_g Γ_h z = Γ_(gh) z, to the bit."""
    assert torch.equal(group.transform_features(values, group.identity), values)
    for g, h in pairs:
        twice = group.transform_features(group.transform_features(values, h), g)
        assert torch.equal(twice, group.transform_features(values, group.compose(g, h)))


def check_position_action(group: Group, values: Tensor, elements: Iterable[int]) -> None:
    """(Γ_g z)(h) = z(g^-1 h) at every position h, and a position moved by g carries its value with it."""
    everywhere = torch.arange(group.order)
    flat = values.flatten(2)
    for g in elements:
        after = group.transform_features(values, g).flatten(2)
        assert torch.equal(after, flat[..., group.act(group.inverse(g), everywhere)])
        assert torch.equal(after[..., group.act(g, everywhere)], flat)


def check_metric(distances: Tensor) -> None:
    """Zero at home and only there, the same both ways, and no shorter by a detour."""
    assert torch.equal(distances, distances.T)
    assert torch.equal(distances == 0, torch.eye(len(distances), dtype=torch.bool))
    detours = distances[:, :, None] + distances[None, :, :]
    assert bool((distances[:, None, :] <= detours + 1e-12).all())


def check_invariant_distance(group: Group, elements: Iterable[int]) -> None:
    """d(g h, g k) = d(h, k) for all positions h and k."""
    distances = group.distances("topological")
    everywhere = torch.arange(group.order)
    for g in elements:
        places = group.act(g, everywhere)
        torch.testing.assert_close(distances[places][:, places], distances, rtol=0, atol=1e-12)


# -- equivariance ------------------------------------------------------------------------------------------------------


def turning_errors(
    function: Callable[[Tensor], Tensor], inputs: Tensor, elements: Sequence[int], *, lifted: bool = False
) -> list[float]:
    """error(f(T_g x), Γ_g f(x)) of each element; `lifted` says that the inputs are group features themselves."""
    move = moved_features if lifted else moved
    with torch.no_grad():
        before = function(inputs)
        return [error(function(move(inputs, element)), moved_features(before, element)) for element in elements]


def shift_error(function: Callable[[Tensor], Tensor], inputs: Tensor, steps: tuple[int, int], stride: int) -> float:
    """error of circular shifts: by steps * stride pixels before f, by steps after it."""
    pixels = (steps[0] * stride, steps[1] * stride)
    with torch.no_grad():
        return error(function(inputs.roll(pixels, (-2, -1))), function(inputs).roll(steps, (-2, -1)))


# -- plans -------------------------------------------------------------------------------------------------------------


def outcome(layer: SteerableConv2d, inputs: Tensor, plan: PlanChoice) -> dict[str, Tensor]:
    """The output of a layer and the gradients of its input and parameters, computed by a plan; all [...]."""
    layer.plan = plan
    layer.zero_grad()
    given = inputs.detach().clone().requires_grad_()
    out = layer(given)
    out.backward(noise(*out.shape, seed=7, dtype=out.dtype))
    gradients = {"input": given.grad, **{name: parameter.grad for name, parameter in layer.named_parameters()}}
    assert all(gradient is not None for gradient in gradients.values())
    return {
        "output": out.detach(),
        **{name: gradient.clone() for name, gradient in gradients.items() if gradient is not None},
    }


def plan_error(layer: SteerableConv2d, inputs: Tensor, plan: PlanChoice) -> float:
    """The largest error of a plan against the plain formulation, over the output and all gradients."""
    plain, planned = outcome(layer, inputs, "plain"), outcome(layer, inputs, plan)
    return max(error(planned[name], plain[name]) for name in plain)


def values_of(network: Backbone) -> Callable[[Tensor], Tensor]:
    """The network as a function to values, for images of any size."""
    return lambda images: network.of_any_size(images).values
