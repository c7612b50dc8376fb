"""One's own network, read as group features."""

import pytest
import torch
from torch import Tensor, nn

from hssl.backbones import Wrap
from hssl.errors import SizeError
from hssl.groups import Group, Product, Rotations, Translations
from hssl.layers import GroupConv2d, LiftingConv2d
from laws import error, noise, shift_error, turning_errors, values_of


def plain(mode: str = "zeros") -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, padding_mode=mode),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3, stride=2, padding=1, padding_mode=mode),
    ).double()


def test_a_plain_network_is_indexed_by_positions() -> None:
    network = Wrap(plain(), in_channels=3, resolution=16)
    features = network(noise(2, 3, 16, 16))
    assert features.values.shape == (2, 5, 8, 8)
    assert features.group == Translations((8, 8), stride=2)
    assert (network.channels, network.total_stride) == (5, 2)
    assert torch.equal(features.values, network.network(noise(2, 3, 16, 16)))


def test_a_circular_network_is_exact() -> None:
    network = Wrap(plain("circular"), in_channels=3, resolution=16, circular=True).eval()
    assert network.feature_group == Translations((8, 8), stride=2, circular=True)
    for steps in ((1, 0), (3, 7)):
        assert shift_error(values_of(network), noise(2, 3, 16, 16), steps, 2) <= 1e-12
    zeros = Wrap(plain(), in_channels=3, resolution=16, circular=True).eval()
    assert shift_error(values_of(zeros), noise(2, 3, 16, 16), (1, 0), 2) > 1e-2


def test_a_network_with_a_group_axis() -> None:
    group = Rotations()
    layers = nn.Sequential(LiftingConv2d(3, 2, 5, 3, group), nn.ReLU(), GroupConv2d(2, 4, 5, 3, group, extent=4))
    network = Wrap(layers.double(), in_channels=3, resolution=12, group=group)
    features = network(noise(2, 3, 12, 12))
    assert features.values.shape == (2, 4, 4, 4, 4)
    assert features.group == Product(group, Translations((4, 4), stride=3))
    assert max(turning_errors(values_of(network), noise(2, 3, 12, 12), range(4))) <= 1e-12
    before = features.values
    assert error(network.materialize()(noise(2, 3, 12, 12)).values, before) <= 1e-12


def test_looking_at_the_network_changes_nothing_of_it() -> None:
    inner = plain().train()
    inner[1].eval()  # a part that its owner has frozen
    state = {key: value.clone() for key, value in inner.state_dict().items()}
    Wrap(inner, in_channels=3, resolution=8)
    assert [part.training for part in inner] == [True, False, True, True]
    assert all(torch.equal(state[key], value) for key, value in inner.state_dict().items())


class Pair(nn.Module):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, images


@pytest.mark.parametrize(
    ("network", "channels", "group", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), 3, None, "must give feature maps"),
        (nn.Conv2d(3, 4, 3), 3, Rotations(), r"channels, 4, height, width"),
        (LiftingConv2d(3, 2, 3, 2, Rotations()), 3, None, "must give feature maps"),
        (nn.Conv2d(3, 4, 3), 1, None, r"does not take images \[1, 1, 8, 8\]"),
        (nn.Conv2d(3, 4, 11), 3, None, r"does not take images \[1, 3, 8, 8\]"),
        (Pair(), 3, None, "must give one tensor"),
    ],
)
def test_networks_that_do_not_fit_are_refused(
    network: nn.Module, channels: int, group: Group | None, message: str
) -> None:
    with pytest.raises(SizeError, match=message):
        Wrap(network, in_channels=channels, resolution=8, group=group)
    assert network.training
