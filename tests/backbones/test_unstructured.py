"""The controls of table 2."""

import copy
import itertools
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from hssl.backbones import (
    MLP,
    Backbone,
    CIFAR10ResNet20,
    PlainResNet20,
    PlainThreeLayer,
    Reading,
    ThreeLayer,
    randomize_statistics,
)
from hssl.errors import ConfigurationError, GroupError, SizeError
from hssl.groups import Exactness, Product, Rotations, Scales, Translations, Unstructured
from hssl.groups.settings import PAPER_SCALES
from laws import error, noise

CNNS: tuple[Callable[..., Backbone], ...] = (PlainThreeLayer, PlainResNet20)
READINGS: tuple[Reading, ...] = ("grouped", "shared-trunk")


@pytest.mark.parametrize(
    ("build", "resolution", "shape", "parameters"),
    [
        (MLP, 28, (128, 16), 784 * 784 + 784 * 1024 + 1024 * 2048 + 2 * (784 + 1024 + 2048)),
        (
            PlainThreeLayer,
            32,
            (128, 6, 8, 8),
            6 * (32 * 121 + 64 * 32 * 49 + 128 * 64 * 49) + 2 * (32 + 64 + 128),
        ),
        (
            partial(PlainThreeLayer, reading="shared-trunk"),
            32,
            (128, 6, 8, 8),
            32 * 121 + 64 * 32 * 49 + 768 * 64 * 49 + 2 * (32 + 64 + 768),
        ),
        (PlainResNet20, 28, (512, 6, 7, 7), 557_570_946),
        (partial(PlainResNet20, reading="shared-trunk"), 28, (512, 6, 7, 7), 158_734_955),
    ],
)
def test_full_width_has_the_stated_shape(
    build: Callable[..., Backbone], resolution: int, shape: tuple[int, ...], parameters: int
) -> None:
    with torch.device("meta"):
        network = build()
        features = network(torch.empty(2, network.in_channels, resolution, resolution))
    assert network.resolution == resolution
    assert features.values.shape == (2, *shape)
    assert network.channels == shape[0]
    assert features.group.exactness is Exactness.NONE
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_the_grouped_reading_has_the_tensors_that_steerable_layers_multiply_by() -> None:
    """[6 O, C, k, k] in every layer, pointwise ones too, and the same BatchNorm: one gamma and beta for all slices."""
    with torch.device("meta"):
        pairs: list[tuple[Backbone, Backbone]] = [
            (PlainThreeLayer(), ThreeLayer(Scales(PAPER_SCALES), resolution=32)),
            (PlainResNet20(), CIFAR10ResNet20(Scales(PAPER_SCALES), resolution=28)),
        ]
        for plain, steerable in pairs:
            shapes = [parameter.shape for parameter in plain.parameters()]
            assert shapes == [parameter.shape for parameter in steerable.materialize().parameters()]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("plain", "steerable"), [(PlainThreeLayer, ThreeLayer), (PlainResNet20, CIFAR10ResNet20)])
def test_with_a_steerable_networks_kernels_it_is_that_network(
    plain: Callable[..., Backbone], steerable: Callable[..., Backbone], training: bool
) -> None:
    """Values, statistics over the group axis and all."""
    group = Scales((1.0, 1.25, 1.5))
    shared = {"in_channels": 2, "resolution": 16, "width": 1 / 32}
    torch.manual_seed(0)
    network, expected = plain(streams=3, **shared).double(), steerable(group, **shared).double()
    randomize_statistics(expected, torch.Generator().manual_seed(0))
    twin = copy.deepcopy(expected).materialize()
    free = network.state_dict().values()
    for tensor, kernels in zip(free, twin.state_dict().values(), strict=True):
        tensor.copy_(kernels)
    images = noise(3, 2, 16, 16)
    assert error(network.train(training)(images).values, expected.train(training)(images).values) <= 1e-11
    for ours, theirs in zip(norms(network), norms(expected), strict=True):
        torch.testing.assert_close(ours.running_mean, theirs.running_mean, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(ours.running_var, theirs.running_var, rtol=1e-11, atol=1e-11)


def norms(network: Backbone) -> list[nn.modules.batchnorm._BatchNorm]:
    return [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]


def convolutions(network: Backbone) -> list[nn.Conv2d]:
    return [part for part in network.modules() if isinstance(part, nn.Conv2d)]


def read_filters(network: Backbone, stream: int) -> list[set[int]]:
    """By layer, the filters that slice `stream` of the features depends on."""
    values = network(noise(2, network.in_channels, 16, 16)).values[:, :, stream]
    weights = [part.weight for part in convolutions(network)]
    gradients = torch.autograd.grad((values * noise(*values.shape, seed=1)).sum(), weights)
    return [set(gradient.flatten(1).any(dim=1).nonzero().flatten().tolist()) for gradient in gradients]


@pytest.mark.parametrize("kind", CNNS)
def test_grouped_streams_never_meet(kind: Callable[..., Backbone]) -> None:
    """Stream s of the output depends on the weights of stream s alone."""
    torch.manual_seed(0)
    network = kind(resolution=16, width=1 / 16, streams=3).double().eval()
    for stream in range(3):
        for part, filters in zip(convolutions(network), read_filters(network, stream), strict=True):
            own = part.out_channels // 3
            assert filters
            assert filters <= set(range(stream * own, stream * own + own))
    # The control: with a shared trunk all slices depend on the same filters of the first layer.
    shared = kind(resolution=16, width=1 / 16, streams=3, reading="shared-trunk").double().eval()
    first, second, third = (read_filters(shared, stream)[0] for stream in range(3))
    assert first & second & third


@pytest.mark.parametrize("reading", READINGS)
def test_residual_networks_start_as_steerable_ones_do(reading: Reading) -> None:
    """N(0, 2 / (O k^2)), O the channels of a stream; torch's own fan-out would count all streams together."""
    torch.manual_seed(0)
    network = PlainResNet20(width=1 / 4, reading=reading)
    apart = 6 if reading == "grouped" else 1
    for part in convolutions(network)[1:]:
        fan_out = part.out_channels // apart * part.kernel_size[0] ** 2
        assert float(part.weight.detach().std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


def test_slices_of_a_shared_trunk_are_blocks_of_channels() -> None:
    torch.manual_seed(0)
    network = PlainThreeLayer(resolution=16, width=1 / 32, streams=3, reading="shared-trunk").double().eval()
    images = noise(2, 1, 16, 16)
    plain = network.layers(images)
    values = network(images).values
    assert values.shape == (2, 4, 3, 4, 4)
    for stream in range(3):
        assert torch.equal(values[:, :, stream], plain[:, stream * 4 : stream * 4 + 4])


def test_rows_of_the_mlp_are_a_reshape_of_its_output() -> None:
    torch.manual_seed(0)
    network = MLP(resolution=6, width=1 / 32, rows=5).double().eval()
    images = noise(2, 1, 6, 6)
    values = network(images).values
    assert values.shape == (2, 4, 5)
    assert torch.equal(values.transpose(1, 2).flatten(1), network.layers(images))
    assert network.feature_group == Unstructured(5, Translations())
    assert network.total_stride == 1


def test_images_move_as_in_the_experiment() -> None:
    for kind, reading in itertools.product(CNNS, READINGS):
        network = kind(resolution=16, width=1 / 64, images_by=Rotations(), streams=2, reading=reading)
        assert network.group == Unstructured(2, Rotations())
        assert network.feature_group == Product(network.group, Translations((4, 4), stride=4))
        assert network.total_stride == 4
        # No exactness is at stake, so no size is refused for it.
        assert kind(resolution=17, width=1 / 64, images_by=Scales((1.0, 2.0))).resolution == 17


def test_there_is_no_action_to_be_equivariant_to() -> None:
    features = PlainThreeLayer(resolution=16, width=1 / 32)(noise(2, 1, 16, 16, dtype=torch.float32))
    with pytest.raises(GroupError, match="group in name only"):
        features.transform(1)


def test_every_parameter_has_a_gradient() -> None:
    for network in (
        MLP(resolution=6, width=1 / 64),
        *(kind(resolution=8, width=1 / 64, reading=reading) for kind in CNNS for reading in READINGS),
    ):
        images = noise(2, network.in_channels, network.resolution, network.resolution, dtype=torch.float32)
        values = network(images).values
        (values * noise(*values.shape, dtype=torch.float32)).sum().backward()
        assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize(
    ("build", "kind", "message"),
    [
        (lambda: MLP(resolution=0), ConfigurationError, "resolution 0"),
        (lambda: MLP(in_channels=0), ConfigurationError, "in_channels 0"),
        (lambda: MLP(width=0), ConfigurationError, "width factor"),
        (lambda: MLP(rows=0), GroupError, "at least one slice"),
        (lambda: PlainThreeLayer(in_channels=0), ConfigurationError, "in_channels 0"),
        (lambda: PlainThreeLayer(resolution=0), SizeError, "cannot be built for 0 x 0"),
        (lambda: PlainThreeLayer(streams=0), GroupError, "at least one slice"),
        (lambda: PlainThreeLayer(reading="wide"), ConfigurationError, "grouped, shared-trunk"),  # type: ignore[arg-type]
        (lambda: PlainResNet20(width=-1), ConfigurationError, "width factor"),
        (lambda: PlainResNet20(resolution=-3, width=1 / 64), SizeError, "cannot be built for -3 x -3"),
    ],
)
def test_bad_values_are_refused(build: Callable[[], Backbone], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        build()
