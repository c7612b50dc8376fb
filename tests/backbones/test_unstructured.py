"""The controls of table 2."""

from collections.abc import Callable

import pytest
import torch

from hssl.backbones import MLP, Backbone, PlainResNet20, PlainThreeLayer
from hssl.errors import ConfigurationError, GroupError, SizeError
from hssl.groups import Exactness, Product, Rotations, Scales, Translations, Unstructured
from laws import noise


@pytest.mark.parametrize(
    ("kind", "resolution", "shape", "parameters"),
    [
        (MLP, 28, (128, 16), 784 * 784 + 784 * 1024 + 1024 * 2048 + 2 * (784 + 1024 + 2048)),
        (
            PlainThreeLayer,
            32,
            (128, 6, 8, 8),
            32 * 121 + 64 * 32 * 49 + 768 * 64 * 49 + 2 * (32 + 64 + 768),
        ),
        (PlainResNet20, 28, (512, 6, 7, 7), 158_734_955),
    ],
)
def test_full_width_has_the_stated_shape(
    kind: Callable[..., Backbone], resolution: int, shape: tuple[int, ...], parameters: int
) -> None:
    with torch.device("meta"):
        network = kind()
        features = network(torch.empty(2, network.in_channels, resolution, resolution))
    assert network.resolution == resolution
    assert features.values.shape == (2, *shape)
    assert network.channels == shape[0]
    assert features.group.exactness is Exactness.NONE
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_slices_are_blocks_of_channels() -> None:
    torch.manual_seed(0)
    network = PlainThreeLayer(resolution=16, width=1 / 32, streams=3).double().eval()
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
    for kind in (PlainThreeLayer, PlainResNet20):
        network = kind(resolution=16, width=1 / 64, images_by=Rotations(), streams=2)
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
    for network in (MLP(resolution=6, width=1 / 64), PlainResNet20(resolution=8, width=1 / 64)):
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
        (lambda: PlainResNet20(width=-1), ConfigurationError, "width factor"),
        (lambda: PlainResNet20(resolution=-3, width=1 / 64), SizeError, "cannot be built for -3 x -3"),
    ],
)
def test_bad_values_are_refused(build: Callable[[], Backbone], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        build()
