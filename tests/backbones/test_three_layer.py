"""The MNIST network: its stated shapes and its layers."""

import pytest
import torch

from hssl.backbones import ThreeLayer
from hssl.groups import Dihedral, Group, Product, Rotations, Scales, Translations
from laws import PAPER_SCALES, error, noise


@pytest.mark.parametrize(
    ("group", "resolution", "streams"),
    [
        (Rotations(), 29, (4,)),
        (Dihedral(), 29, (8,)),
        (Scales(PAPER_SCALES), 29, (6,)),
        (Scales(PAPER_SCALES), 32, (6,)),
        (Translations(), 32, ()),
        (Translations(circular=True), 32, ()),
    ],
    ids=str,
)
def test_full_width_has_the_papers_shape(group: Group, resolution: int, streams: tuple[int, ...]) -> None:
    """'128 x |G| x 8 x 8', without computing it."""
    with torch.device("meta"):
        network = ThreeLayer(group, resolution=resolution)
        features = network(torch.empty(2, 1, resolution, resolution))
    assert features.values.shape == (2, 128, *streams, 8, 8)
    assert network.channels == features.channels == 128
    assert network.total_stride == 4
    assert features.group == network.feature_group


@pytest.mark.parametrize(("full", "convolutions"), [(False, 1), (True, 4)])
def test_parameter_count(full: bool, convolutions: int) -> None:
    with torch.device("meta"):
        network = ThreeLayer(Rotations(), full_extent=full)
    counts = {name: part.numel() for name, part in network.named_parameters()}
    assert counts["lift.weight"] == 32 * 1 * 11**2
    assert counts["conv2.weight"] == 64 * 32 * 3**2 * convolutions
    assert counts["conv3.weight"] == 128 * 64 * 3**2 * convolutions
    assert sum(counts.values()) == 3872 + (18432 + 73728) * convolutions + 2 * (32 + 64 + 128)


def test_the_last_relu_is_the_output() -> None:
    torch.manual_seed(0)
    network = ThreeLayer(Scales((1.0, 1.5)), resolution=29, width=1 / 16).double()
    values = network(noise(2, 1, 29, 29)).values
    assert values.min() == 0
    assert values.max() > 0.1


def test_layers_are_those_of_the_appendix() -> None:
    network = ThreeLayer(Rotations(), width=1 / 32)
    layers = [network.lift, network.conv2, network.conv3]
    assert [layer.kernel_size for layer in layers] == [11, 7, 7]
    assert [layer.effective_size for layer in layers] == [11, 3, 3]
    assert [layer.stride for layer in layers] == [1, 2, 2]
    assert [layer.padding for layer in layers] == [5, 3, 3]
    assert all(layer.bias is None for layer in layers)
    assert network.feature_group == Product(Rotations(), Translations((8, 8), stride=4))
    assert "29 x 29" in repr(network)
    assert network.legal_sizes(30) == [29, 33]


def test_scales_of_one_factor_and_shifts_are_the_same_network() -> None:
    torch.manual_seed(0)
    one = ThreeLayer(Scales((1.0,)), resolution=20, width=1 / 16).double().eval()
    other = ThreeLayer(Translations(), resolution=20, width=1 / 16).double().eval()
    other.load_state_dict(one.state_dict())
    images = noise(2, 1, 20, 20)
    assert error(other(images).values, one(images).values[:, :, 0]) <= 1e-14
