"""Backbones on rows: some streams are the whole computation's, folded or not, in every plan, compiled or not."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hssl.backbones import (
    CIFAR10ResNet20,
    SteerableBackbone,
    ThreeLayer,
    TinyImageNetResNet20,
    randomize_statistics,
)
from hssl.errors import ConfigurationError, GroupError, SizeError
from hssl.groups import Dihedral, Group, GroupFeatures, Rotations, Scales, Streams, Translations
from hssl.layers import PLAN_CHOICES, GroupConv2d, PlanChoice, SteerableConv2d
from laws import PAPER_SCALES, error, noise, turning_errors, values_of

NETWORKS: dict[str, tuple[Callable[..., SteerableBackbone], int]] = {
    "three-layer": (ThreeLayer, 13),
    "cifar10": (CIFAR10ResNet20, 9),
    "tiny-imagenet": (TinyImageNetResNet20, 9),
}
GROUPS: dict[str, Callable[[], Group]] = {
    "scales": lambda: Scales(PAPER_SCALES),
    "C4": Rotations,
    "D4": Dihedral,
}
# Three images: one stream twice, two streams, and none of them reads stream 1.
ELEMENTS = torch.tensor([[2, 2], [0, 3], [3, 0]])


def built(
    name: str = "three-layer", group: Group | None = None, plan: PlanChoice = "auto", **settings: object
) -> SteerableBackbone:
    """A narrow network in float64, in eval mode, with random statistics."""
    kind, resolution = NETWORKS[name]
    torch.manual_seed(0)
    network = kind(group or Rotations(), resolution=resolution, width=1 / 32, **settings).double()
    network.plan = plan
    randomize_statistics(network, torch.Generator().manual_seed(1))
    return network.eval()


def images_for(network: SteerableBackbone, batch: int = 3) -> Tensor:
    return noise(batch, network.in_channels, network.resolution, network.resolution)


def with_given_statistics(network: SteerableBackbone) -> SteerableBackbone:
    """In train mode, but for the BatchNorms."""
    for part in network.train().modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
    return network


def gradients(network: SteerableBackbone, images: Tensor, value: Tensor) -> dict[str, Tensor]:
    named = {"images": images, **dict(network.named_parameters())}
    return dict(zip(named, torch.autograd.grad(value, list(named.values())), strict=True))


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor], bound: float = 1e-10) -> None:
    """Each tensor relative to its own size, or to a hundred times less of the largest: some gradients vanish by law.

    The scale of a BatchNorm in front of ReLU, convolution and BatchNorm has none, but for rounding.
    """
    assert ours.keys() == theirs.keys()
    sizes = {name: float(value.abs().max()) for name, value in theirs.items()}
    assert min(sizes.values()) > 0, "nothing to compare with"
    for name, value in theirs.items():
        gap = float((ours[name] - value).abs().max())
        assert gap <= bound * max(sizes[name], max(sizes.values()) / 100), name


def positions_in(network: SteerableBackbone) -> Tensor:
    """A position of each named element."""
    places = network.feature_group.order // network.group.order
    return ELEMENTS * places + torch.tensor([[0, 1], [places - 1, 2], [3, 0]]) % places


# -- some streams are those of the whole computation -------------------------------------------------------------------


@pytest.mark.parametrize("pooled", [True, False])
@pytest.mark.parametrize("plan", ["auto", "separable", "plain"])
@pytest.mark.parametrize("turning", GROUPS)
@pytest.mark.parametrize("name", NETWORKS)
def test_some_streams_are_those_of_the_whole_computation(
    name: str, turning: str, plan: PlanChoice, pooled: bool
) -> None:
    """Values and gradients, where the BatchNorm statistics are given."""
    network = with_given_statistics(built(name, GROUPS[turning](), plan))
    read = ELEMENTS if pooled else positions_in(network)
    outcomes = []
    for elements in (None, ELEMENTS):
        images = images_for(network).requires_grad_()
        features = network(images) if elements is None else network(images, elements)
        assert isinstance(features, GroupFeatures)
        assert (features.chosen is None) == (elements is None)
        bundles = (features.pool_space() if pooled else features).at(read)
        value = (bundles * noise(*bundles.shape, seed=3)).sum()
        outcomes.append({"bundles": bundles.detach(), **gradients(network, images, value)})
    assert_same(outcomes[1], outcomes[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_named_in_advance_is_what_is_named_in_the_call(name: str) -> None:
    network = built(name, Scales(PAPER_SCALES))
    images = images_for(network)
    with torch.no_grad():
        named, given = network(images, Streams.of(ELEMENTS, 6)), network(images, ELEMENTS)
    assert torch.equal(named.values, given.values)
    assert named.chosen.counts == given.chosen.counts == (2, 0, 1, 2, 0, 0)
    assert len(given.values) == 5


@pytest.mark.parametrize("plan", ["auto", "plain"])
@pytest.mark.parametrize("turning", GROUPS)
def test_streams_that_are_not_named_have_no_gradient(turning: str, plan: PlanChoice) -> None:
    """The gradient of everything computed is that of the whole features behind a mask."""
    network = with_given_statistics(built(group=GROUPS[turning](), plan=plan))
    streams = Streams.of(ELEMENTS, network.group.order)
    weights = noise(3, network.channels, *network.feature_group.axes, seed=3)
    stream_of_row = torch.repeat_interleave(torch.arange(streams.order), torch.tensor(streams.counts))
    images = images_for(network).requires_grad_()
    some = (network(images, streams).values * weights[streams.images, :, stream_of_row]).sum()
    ours = gradients(network, images, some)
    images = images_for(network).requires_grad_()
    mask = (streams.slots >= 0)[:, None, :, None, None]
    theirs = gradients(network, images, (network(images).values * weights * mask).sum())
    assert_same(ours, theirs)
    # The control: without the mask the other streams have one.
    unmasked = gradients(network, images, (network(images).values * weights).sum())
    assert error(ours["images"], unmasked["images"]) > 1e-2


def test_reading_another_stream_differs() -> None:
    network = built(group=Scales(PAPER_SCALES))
    images = images_for(network)
    with torch.no_grad():
        whole, some = network(images).pool_space(), network(images, ELEMENTS).pool_space()
    assert error(some.at(ELEMENTS), whole.at(ELEMENTS)) <= 1e-12
    assert error(some.at(ELEMENTS), whole.at(ELEMENTS.flip(1))) > 1e-2
    assert error(some.at(ELEMENTS), whole.at(ELEMENTS + 1)) > 1e-2


@pytest.mark.parametrize("plan", ["auto", "plain"])
def test_a_stream_that_was_not_computed_cannot_be_read(plan: PlanChoice) -> None:
    network = built(plan=plan)
    features = network(images_for(network), ELEMENTS)
    for read in (features, features.pool_space()):
        places = 16 if read is features else 1
        with pytest.raises(GroupError, match=r"not computed[\s\S]*stream 1 of image 0[\s\S]*streams \[2\]"):
            read.at(torch.tensor([[1], [0], [0]]) * places)


# -- train mode --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", ["auto", "plain"])
@pytest.mark.parametrize("turning", GROUPS)
@pytest.mark.parametrize("name", NETWORKS)
def test_all_streams_named_is_the_whole_computation_statistics_included(
    name: str, turning: str, plan: PlanChoice
) -> None:
    outcomes, states = [], []
    for name_all in (False, True):
        network = built(name, GROUPS[turning](), plan).train()
        order = network.group.order
        elements = torch.arange(order).expand(3, order)
        images = images_for(network).requires_grad_()
        features = network(images, elements).pool_space() if name_all else network(images).pool_space()
        bundles = features.at(elements)
        value = (bundles * noise(*bundles.shape, seed=3)).sum()
        outcomes.append({"bundles": bundles.detach(), **gradients(network, images, value)})
        states.append({key: buffer.double() for key, buffer in network.named_buffers()})
    assert_same(outcomes[1], outcomes[0])
    assert_same(states[1], states[0])


def test_some_streams_are_a_sample_of_the_statistics() -> None:
    """In train mode BatchNorm sees what is computed: the control of the test above. The plain twin computes all."""
    whole, some, twin = built(plan="plain").train(), built().train(), built(plan="plain").train()
    images = images_for(whole)
    expected = whole(images).pool_space().at(ELEMENTS)
    assert error(some(images, ELEMENTS).pool_space().at(ELEMENTS), expected) > 1e-3
    assert error(twin(images, ELEMENTS).pool_space().at(ELEMENTS), expected) <= 1e-12
    assert isinstance(some, ThreeLayer)
    assert isinstance(whole, ThreeLayer)
    assert error(some.norm1.running_mean, whole.norm1.running_mean) > 1e-4  # type: ignore[arg-type]


# -- the plans of a network --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [plan for plan in PLAN_CHOICES if plan != "plain"])
@pytest.mark.parametrize("turning", [*GROUPS, "torus"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_plan_equals_the_plain_formulation(name: str, turning: str, plan: PlanChoice) -> None:
    group = GROUPS[turning]() if turning in GROUPS else Translations(circular=True)
    settings = {} if turning in GROUPS else {"resolution": 8}
    outcomes = []
    for chosen in ("plain", plan):
        kind, resolution = NETWORKS[name]
        torch.manual_seed(0)
        network = kind(group, width=1 / 32, **{"resolution": resolution, **settings}).double().train()
        network.plan = chosen
        images = images_for(network, 2).requires_grad_()
        values = network(images).values
        outcomes.append(
            {"values": values.detach(), **gradients(network, images, (values * noise(*values.shape, seed=3)).sum())}
        )
    assert_same(outcomes[1], outcomes[0])


def test_a_plan_is_set_for_all_layers_and_can_differ() -> None:
    network = built()
    assert isinstance(network, ThreeLayer)
    assert network.plan == "auto"
    network.plan = "separable"
    assert {layer.plan for layer in network.modules() if isinstance(layer, SteerableConv2d)} == {"separable"}
    network.conv2.plan = "direct"
    assert network.plan == "auto"
    with pytest.raises(ConfigurationError, match=r"no such plan[\s\S]*fastest[\s\S]*auto, measured, plain"):
        network.plan = "fastest"  # type: ignore[assignment]


def test_a_copy_keeps_its_plan_and_the_state_does_not_tell() -> None:
    network = built(plan="direct")
    assert copy.deepcopy(network).plan == "direct"
    other = built()
    other.load_state_dict(network.state_dict())
    assert other.plan == "auto"
    assert network.state_dict().keys() == other.state_dict().keys()


def test_one_plain_layer_makes_the_network_plain() -> None:
    """Its rows lie image after image, and so do those of all others."""
    network = built()
    assert isinstance(network, ThreeLayer)
    images = images_for(network)
    with torch.no_grad():
        expected = network(images).values
        network.conv2.plan = "plain"
        assert error(network(images).values, expected) <= 1e-12
        assert error(network(images, ELEMENTS).at(ELEMENTS * 16), network(images).at(ELEMENTS * 16)) <= 1e-12


class OtherFilters(GroupConv2d):
    """Filters that no plan knows of."""

    def kernels(self) -> Tensor:
        return 2 * super().kernels()


def test_a_layer_with_filters_of_its_own_is_computed_by_them() -> None:
    network = built()
    assert isinstance(network, ThreeLayer)
    images = images_for(network)
    with torch.no_grad():
        before = network(images).values
        network.conv3.__class__ = OtherFilters
        network.norm3 = nn.Identity()  # type: ignore[assignment]
        doubled = network(images).values
        network.conv3.__class__ = GroupConv2d
        assert error(doubled, 2 * network(images).values) <= 1e-12
        assert error(doubled, before) > 1e-2


@pytest.mark.parametrize("size", [12, 14, 15])
def test_folded_streams_are_copies_at_any_size(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact by construction even where the plain formulation is not: why controls are run on the latter."""
    monkeypatch.setattr("hssl.backbones.backbone.check_size", lambda *_: None)
    torch.manual_seed(0)
    network = ThreeLayer(Rotations(), resolution=size, width=1 / 32).double().eval()
    images = noise(2, 1, size, size)
    assert max(turning_errors(values_of(network), images, [1, 2, 3])) <= 1e-12
    network.plan = "plain"
    assert min(turning_errors(values_of(network), images, [1, 2, 3])) > 1e-2


# -- materialised, refused, compiled -----------------------------------------------------------------------------------


@pytest.mark.parametrize("turning", GROUPS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_materialised_network_gives_the_same_streams(name: str, turning: str) -> None:
    network = built(name, GROUPS[turning]())
    plain = copy.deepcopy(network).materialize()
    assert isinstance(plain, SteerableBackbone)
    assert plain.separate_streams
    images = images_for(network)
    with torch.no_grad():
        ours, theirs = plain(images, ELEMENTS), network(images, ELEMENTS)
    assert ours.chosen.counts == theirs.chosen.counts
    assert error(ours.values, theirs.values) <= 1e-12


def test_streams_that_mix_cannot_be_computed_alone() -> None:
    network = built(full_extent=True)
    assert not network.separate_streams
    with pytest.raises(ConfigurationError) as caught:
        network(images_for(network), ELEMENTS)
    for part in ("streams of this ThreeLayer mix", "full extent", "views.streams all"):
        assert part in str(caught.value)
    assert built().separate_streams


def test_elements_that_do_not_belong_to_the_batch_are_refused() -> None:
    network = built()
    images = images_for(network)
    with pytest.raises(ConfigurationError, match=r"every image of a batch[\s\S]*2 images[\s\S]*for 3 images"):
        network(images, ELEMENTS[:2])
    with pytest.raises(ConfigurationError, match="4 streams"):
        network(images, Streams.of(ELEMENTS, 6))
    with pytest.raises(GroupError, match="no such element"):
        network(images, ELEMENTS + 2)
    with pytest.raises(SizeError, match="built for images"):
        network(images[..., :-1], ELEMENTS)


def test_a_batch_of_which_nothing_is_read() -> None:
    for plan in ("auto", "plain"):
        network = built(plan=plan)  # type: ignore[arg-type]
        assert network(images_for(network), ELEMENTS[:, :0]).values.shape == (0, network.channels, 4, 4)
        assert network(images_for(network)[:0], ELEMENTS[:0]).values.shape == (0, network.channels, 4, 4)


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize(
    ("turning", "plan"), [("scales", "plain"), ("scales", "cropped"), ("scales", "separable"), ("C4", "auto")]
)
def test_a_network_compiles_into_one_graph(turning: str, plan: PlanChoice, sampled: bool) -> None:
    """Forward and backward, without a break, equal to eager. By aot_eager: inductor needs a compiler."""
    torch.compiler.reset()
    network = built(group=GROUPS[turning](), plan=plan).float().train()
    eager = copy.deepcopy(network)
    network.compile(fullgraph=True, backend="aot_eager")
    order = network.group.order
    # A second batch, whose streams have other counts.
    for elements in (ELEMENTS, ELEMENTS.flip(0) % 2) if sampled else (None,):
        asked = () if elements is None else (Streams.of(elements, order),)
        outcomes = []
        for one in (eager, network):
            images = images_for(one).float().requires_grad_()
            values = one(images, *asked).values
            weights = noise(*values.shape, seed=3, dtype=torch.float32)
            outcomes.append({"values": values.detach(), **gradients(one, images, (values * weights).sum())})
        assert_same(outcomes[1], outcomes[0], 1e-5)
    assert_same(dict(network.named_buffers()), dict(eager.named_buffers()), 1e-5)
