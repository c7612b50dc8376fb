"""The theorem of the paper (section 3), as a test: equation 2 on transformed images IS equation 3 on moved base spaces.

For an equivariant f, reading f(T_g x) at g0 is reading f(x) at g^-1 . g0. So the A-SSL loss on the images T_g1 x and
T_g2 x, both read at g0, and the H-SSL loss on the untransformed images, read at g1^-1 . g0 and g2^-1 . g0, are one
number with one gradient. Float64, two different code paths, every parameter of backbone and projector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

import hssl.backbones.backbone
from hssl.backbones import (
    MLP,
    Backbone,
    CIFAR10ResNet20,
    PlainThreeLayer,
    SteerableBackbone,
    ThreeLayer,
    randomize_statistics,
)
from hssl.groups import BaseSpace, Group, GroupFeatures, Product, Rotations, Streams, Translations
from hssl.heads import Projector
from hssl.layers import PlanChoice
from hssl.objectives import OBJECTIVES
from hssl.views import FiberViews, InputViews, Pairs
from hssl.views.placements import Which

BATCH = 4
EXACT = 1e-10
DIFFERENT = 1e-2

Move = Callable[[int, Tensor], Tensor]
Mode = Literal["train", "eval"]

# Folded streams obey the law by construction: it has to hold, and the controls to fail, in the plain formulation.
PLANS: tuple[PlanChoice, ...] = ("plain", "auto")


@dataclass(frozen=True)
class Outcome:
    """A loss and its gradients by parameter name."""

    loss: float
    gradients: dict[str, Tensor]

    def loss_difference(self, other: Outcome) -> float:
        """|a - b| / |b|."""
        return abs(self.loss - other.loss) / abs(other.loss)

    def gradient_difference(self, other: Outcome) -> float:
        """The largest difference of one parameter's gradient, relative to the norm of the whole gradient."""
        size = torch.cat([gradient.flatten() for gradient in other.gradients.values()]).norm()
        assert size > 0
        gaps = [(self.gradients[name] - gradient).norm() for name, gradient in other.gradients.items()]
        return float(max(gaps) / size)


def random_network(network: Backbone, seed: int = 0) -> Backbone:
    """In float64, with BatchNorm statistics that are not the trivial ones."""
    randomize_statistics(network, torch.Generator().manual_seed(seed))
    return network.double()


def three_layer(group: Group, resolution: int, plan: PlanChoice = "plain") -> Backbone:
    torch.manual_seed(0)
    return planned(ThreeLayer(group, width=1 / 8, resolution=resolution), plan)


def resnet(group: Group, resolution: int, plan: PlanChoice = "plain") -> Backbone:
    torch.manual_seed(0)
    return planned(CIFAR10ResNet20(group, width=1 / 32, resolution=resolution), plan)


def planned(network: SteerableBackbone, plan: PlanChoice) -> Backbone:
    network.plan = plan
    return random_network(network)


def projector_of(network: Backbone, base: BaseSpace) -> nn.Module:
    torch.manual_seed(1)
    residual = isinstance(network, CIFAR10ResNet20)
    head = Projector(base.size * network.channels, (16, 24, 16), normalize_input=residual).double()
    for part in head:
        if isinstance(part, nn.BatchNorm1d):
            assert part.running_mean is not None
            assert part.running_var is not None
            part.running_mean.copy_(0.1 * torch.randn(part.num_features))
            part.running_var.copy_(torch.rand(part.num_features) + 0.5)
    return head


def images_for(network: Backbone) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    size = network.resolution
    return torch.rand(BATCH, network.in_channels, size, size, generator=generator, dtype=torch.float64)


def both_losses(
    network: Backbone,
    base: BaseSpace,
    images_by: Group,
    move: Move,
    elements: tuple[Sequence[int], Sequence[int]],
    placements: Sequence[int],
    *,
    objective: str = "contrastive",
    mode: Mode = "train",
    pool: bool = True,
    inverse: Callable[[int], int] | None = None,
    streams: Which = "all",
) -> tuple[Outcome, Outcome]:
    """A-SSL with images moved by g1 and g2 at g0; H-SSL with g0 moved by g1^-1 and g2^-1.

    Args:
        move: (element of `images_by`, positions) to positions, the action on base spaces.
        inverse: of an element of `images_by`; that group's own by default.
        streams: whether the views ask for all streams, or only for those that they read.
    """
    projector = projector_of(network, base)
    for part in (network, projector):
        part.train(mode == "train")
    invert = inverse or images_by.inverse
    at_g0 = base.at(torch.tensor(placements))
    moved = [torch.stack([move(invert(g), row) for g, row in zip(branch, at_g0, strict=True)]) for branch in elements]
    parameters = [images_by.parameters(torch.tensor(branch)) for branch in elements]

    def encode(images: Tensor, *asked: Streams) -> GroupFeatures:
        assert len(asked) == (streams == "sampled")
        features = network(images, *asked)
        return features.pool_space() if pool else features  # type: ignore[no-any-return]

    images = images_for(network)
    a_ssl = InputViews(images_by, base, network.resolution, streams=streams)
    h_ssl = FiberViews(base, streams=streams)
    pairs_of = ((a_ssl, Pairs(at_g0, at_g0, *parameters)), (h_ssl, Pairs(*moved)))
    outcomes = []
    for views, pairs in pairs_of:
        bundles = views(images, encode, views.with_streams(pairs))
        first, second = projector(torch.cat(bundles[:2])).chunk(2)
        loss = OBJECTIVES[objective](first, second, temperature=0.1)
        named = {
            f"{whose}.{name}": parameter
            for whose, part in (("backbone", network), ("projector", projector))
            for name, parameter in part.named_parameters()
        }
        gradients = torch.autograd.grad(loss, list(named.values()))
        outcomes.append(Outcome(float(loss.detach()), dict(zip(named, gradients, strict=True))))
    return outcomes[0], outcomes[1]


def assert_same(outcomes: tuple[Outcome, Outcome]) -> None:
    a_ssl, h_ssl = outcomes
    assert a_ssl.loss_difference(h_ssl) < EXACT
    assert a_ssl.gradient_difference(h_ssl) < EXACT
    # The law is not that of a network that sees nothing: each part takes gradient.
    assert any(gradient.abs().max() > 1e-6 for name, gradient in h_ssl.gradients.items() if name.startswith("backbone"))
    assert any(
        gradient.abs().max() > 1e-6 for name, gradient in h_ssl.gradients.items() if name.startswith("projector")
    )


TURNS = ((1, 3, 0, 2), (2, 3, 1, 0))
PLACES = (0, 3, 2, 1)
FAMILIES = {"three-layer": (three_layer, 29, 28), "resnet20": (resnet, 25, 28)}


@pytest.mark.parametrize("objective", list(OBJECTIVES))
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("plan", PLANS)
def test_quarter_turns(plan: PlanChoice, family: str, size: int, mode: Mode, objective: str) -> None:
    build, resolution, _ = FAMILIES[family]
    group = Rotations()
    network = build(group, resolution, plan)
    base = BaseSpace(group, size)
    assert_same(both_losses(network, base, group, group.act, TURNS, PLACES, objective=objective, mode=mode))


@pytest.mark.parametrize("objective", list(OBJECTIVES))
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("plan", PLANS)
def test_quarter_turns_where_only_what_is_read_is_computed(
    plan: PlanChoice, family: str, size: int, objective: str
) -> None:
    """In eval mode; what training does to the statistics is the next test's."""
    build, resolution, _ = FAMILIES[family]
    group = Rotations()
    network = build(group, resolution, plan)
    base = BaseSpace(group, size)
    outcomes, whole = (
        both_losses(network, base, group, group.act, TURNS, PLACES, objective=objective, mode="eval", streams=streams)
        for streams in ("sampled", "all")
    )
    assert_same(outcomes)
    # And it is the loss of the whole computation.
    assert_same((outcomes[0], whole[0]))
    assert_same((outcomes[1], whole[1]))


DIFFERENT_TURNS = ((1, 3, 0, 2), (2, 0, 1, 0))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_sampled_streams_are_a_sample_of_the_statistics(family: str) -> None:
    """In train mode BatchNorm sees the computed rows, and those of the two equations are turned copies of each other.

    Unless an example's two elements are equal: equation 3 then computes one row where equation 2 computes two.
    """
    build, resolution, _ = FAMILIES[family]
    group = Rotations()
    network = build(group, resolution, "auto")

    def losses(turns: tuple[Sequence[int], Sequence[int]]) -> tuple[Outcome, Outcome]:
        return both_losses(network, BaseSpace(group), group, group.act, turns, PLACES, streams="sampled")

    assert_same(losses(DIFFERENT_TURNS))
    assert any(first == second for first, second in zip(*TURNS, strict=True))
    assert_other(losses(TURNS))


@pytest.mark.parametrize("objective", list(OBJECTIVES))
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("size", [(1, 1), (1, 2)])
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("plan", PLANS)
def test_circular_translations_by_the_total_stride(
    plan: PlanChoice, family: str, size: tuple[int, int], mode: Mode, objective: str
) -> None:
    build, _, resolution = FAMILIES[family]
    network = build(Translations(circular=True), resolution, plan)
    group = network.feature_group
    assert isinstance(group, Translations)
    assert (group.shape, group.stride) == ((7, 7), 4)
    shifts = ((8, 0, 33, 5), (40, 17, 6, 48))
    base = BaseSpace(group, size)
    outcomes = both_losses(
        network, base, group, group.act, shifts, (3, 48, 20, 11), objective=objective, mode=mode, pool=False
    )
    assert_same(outcomes)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 1, 2), (2, 1, 1)])
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("plan", PLANS)
def test_rotation_and_position_together(plan: PlanChoice, family: str, size: tuple[int, int, int], mode: Mode) -> None:
    """Unpooled maps with zero padding: an element that only turns moves streams and positions, and stays exact."""
    build, resolution, _ = FAMILIES[family]
    network = build(Rotations(), resolution, plan)
    joint = network.feature_group
    assert isinstance(joint, Product)
    assert not joint.closed

    def move(quarters: int, positions: Tensor) -> Tensor:
        return joint.act(quarters * joint.second.order, positions)

    base = BaseSpace(joint, size)
    places = (1, base.count // 3, base.count // 2, base.count - 1)
    assert_same(both_losses(network, base, Rotations(), move, TURNS, places, mode=mode, pool=False))


def test_base_space_moves_back_the_same_positions() -> None:
    """`BaseSpace.moved_back` is the g^-1 . g0 that the tests above form by hand."""
    group = Rotations()
    base = BaseSpace(group, 2)
    elements, placements = torch.tensor(TURNS[0]), torch.tensor(PLACES)
    by_hand = [group.act(group.inverse(int(g)), row) for g, row in zip(elements, base.at(placements), strict=True)]
    assert torch.equal(base.moved_back(elements, placements), torch.stack(by_hand))


# -- negative controls: what the laws above must see fail ------------------------------------------------------------


def assert_other(outcomes: tuple[Outcome, Outcome]) -> None:
    """Both the loss and the gradient differ by more than 1 %."""
    a_ssl, h_ssl = outcomes
    assert a_ssl.loss_difference(h_ssl) > DIFFERENT
    assert a_ssl.gradient_difference(h_ssl) > DIFFERENT


class Unturned(Rotations):
    """A layer that believes in rotations and forgets to turn its filters."""

    def orient(self, kernels: Tensor) -> Tensor:
        return kernels.squeeze(-3).unsqueeze(-3).expand(*kernels.shape[:-3], 4, *kernels.shape[-2:])


@pytest.mark.parametrize("family", list(FAMILIES))
def test_fails_where_the_second_layer_is_not_rotated(family: str) -> None:
    build, resolution, _ = FAMILIES[family]
    group = Rotations()
    network = build(group, resolution)
    second = network.conv2 if family == "three-layer" else network.stem
    assert isinstance(second, nn.Module)
    second.group = Unturned()  # type: ignore[assignment]
    assert_other(both_losses(network, BaseSpace(group), group, group.act, TURNS, PLACES))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_fails_at_an_even_size(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hssl.backbones.backbone, "check_size", lambda *_: None)
    build, resolution, _ = FAMILIES[family]
    group = Rotations()
    network = build(group, resolution + 1)
    assert_other(both_losses(network, BaseSpace(group), group, group.act, TURNS, PLACES))


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_fails_without_structure(kind: str) -> None:
    """Slices of an unstructured network, shifted as if they were fibers of rotations."""
    group = Rotations()
    torch.manual_seed(0)
    network: Backbone = (
        MLP(resolution=29, width=1 / 8, images_by=group, rows=4)
        if kind == "mlp"
        else PlainThreeLayer(resolution=29, width=1 / 8, images_by=group, streams=4)
    )
    random_network(network)
    outcomes = both_losses(network, BaseSpace(network.group), group, group.act, TURNS, PLACES, pool=kind == "cnn")
    assert_other(outcomes)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_fails_in_the_wrong_direction(family: str) -> None:
    """g . g0 instead of g^-1 . g0."""
    build, resolution, _ = FAMILIES[family]
    group = Rotations()
    network = build(group, resolution)
    outcomes = both_losses(network, BaseSpace(group), group, group.act, TURNS, PLACES, inverse=lambda element: element)
    assert_other(outcomes)


def test_fails_for_zero_padded_translations() -> None:
    """Without the torus the border comes in: the paper's equivalence is approximate there."""
    network = three_layer(Translations(), 28)
    positions = network.feature_group
    assert isinstance(positions, Translations)
    torus = Translations(positions.shape, stride=positions.stride, circular=True)
    base = BaseSpace(torus, (1, 1))
    shifts = ((8, 0, 33, 5), (40, 17, 6, 48))
    assert_other(both_losses(network, base, torus, torus.act, shifts, (3, 48, 20, 11), pool=False))
