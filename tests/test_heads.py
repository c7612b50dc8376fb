"""The projector and the readouts."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hssl.backbones import randomize_statistics
from hssl.errors import ConfigurationError
from hssl.groups import Group, Rotations, Scales
from hssl.groups.settings import PAPER_SCALES
from hssl.heads import ConvReadout, PlainConvReadout, PooledReadout, Projector, RowReadout
from laws import error, moved_features, noise


def kinds(module: nn.Module) -> list[str]:
    return [type(part).__name__ for part in module.children()]


def test_projector_is_linear_norm_relu_and_ends_in_a_norm() -> None:
    projector = Projector(6, (8, 10, 4))
    assert kinds(projector) == [
        "Linear",
        "BatchNorm1d",
        "ReLU",
        "Linear",
        "BatchNorm1d",
        "ReLU",
        "Linear",
        "BatchNorm1d",
    ]
    out = projector(noise(16, 6, dtype=torch.float32))
    assert out.shape == (16, 4)
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(4), rtol=0, atol=1e-5)
    assert out.min() < 0


def test_projector_of_the_residual_networks_begins_with_a_norm() -> None:
    projector = Projector(6, (8,), normalize_input=True)
    assert kinds(projector) == ["BatchNorm1d", "Linear", "BatchNorm1d"]
    with torch.no_grad():
        scaled = projector(noise(16, 6, dtype=torch.float32) * 1000)
        assert error(projector(noise(16, 6, dtype=torch.float32)), scaled) < 1e-3


def test_no_parameter_goes_without_a_gradient() -> None:
    heads: list[tuple[nn.Module, tuple[int, ...]]] = [
        (Projector(6, (8, 4)), (5, 6)),
        (ConvReadout(3, 10, Rotations(), 7), (5, 3, 4, 7, 7)),
        (PlainConvReadout(3, 10, 8), (5, 3, 6, 8, 8)),
        (PooledReadout(3, 10), (5, 3, 4, 7, 7)),
        (RowReadout(3, 10), (5, 3, 16)),
    ]
    for head, shape in heads:
        out = head(noise(*shape, dtype=torch.float32))
        assert out.shape == (5, 4 if isinstance(head, Projector) else 10)
        (out * noise(*out.shape, seed=1, dtype=torch.float32)).sum().backward()
        for name, parameter in head.named_parameters():
            assert parameter.grad is not None, name


@pytest.mark.parametrize("group", [Rotations(), Scales((1.0, 1.25, 1.5))], ids=str)
@pytest.mark.parametrize("map_size", [1, 2, 4, 6, 7, 8, 10])
def test_convolutional_readouts_read_maps_of_any_size(group: Group, map_size: int) -> None:
    values = noise(2, 3, group.streams, map_size, map_size, dtype=torch.float32)
    assert ConvReadout(3, 10, group, map_size)(values).shape == (2, 10)
    assert PlainConvReadout(3, 10, map_size)(values).shape == (2, 10)


@pytest.mark.parametrize("map_size", [7, 8])
def test_on_the_papers_maps_the_kernel_leaves_one_position(map_size: int) -> None:
    """'thereby reducing the spatial dimensions to 1'."""
    values = noise(1, 3, 4, map_size, map_size, dtype=torch.float32)
    assert ConvReadout(3, 10, Rotations(), map_size).conv(values).shape == (1, 3, 4, 1, 1)
    assert PlainConvReadout(3, 10, map_size).conv(values[:, :, :1]).shape == (1, 3, 1, 1, 1)


def test_readouts_are_invariant_to_turns() -> None:
    values = noise(2, 3, 4, 7, 7)
    readouts: list[nn.Module] = [PooledReadout(3, 10), ConvReadout(3, 10, Rotations(), 7)]
    for readout in readouts:
        readout.double().eval()
        randomize_statistics(readout, torch.Generator().manual_seed(0))
        for quarter in range(4):
            assert error(readout(moved_features(values, quarter)), readout(values)) <= 1e-12
        # The control: each stream turned by another amount is no Γ_g.
        mixed = torch.stack([values[:, :, stream].rot90(stream, (-2, -1)) for stream in range(4)], dim=2)
        assert error(readout(mixed), readout(values)) > 1e-3


def test_the_readout_without_structure_is_not() -> None:
    readout, values = PlainConvReadout(3, 10, 7).double(), noise(2, 3, 4, 7, 7)
    assert error(readout(moved_features(values, 1)), readout(values)) > 1e-2


@pytest.mark.parametrize(("channels", "classes", "map_size"), [(128, 10, 8), (3, 7, 4)])
@pytest.mark.parametrize("group", [Rotations(), Scales(PAPER_SCALES)], ids=str)
def test_readouts_with_and_without_structure_are_of_one_size(
    group: Group, channels: int, classes: int, map_size: int
) -> None:
    steerable = ConvReadout(channels, classes, group, map_size)
    plain = PlainConvReadout(channels, classes, map_size)
    assert count(plain) == count(steerable) == 9 * channels**2 + channels * classes + classes
    # The control: a dense layer over all slices is another kind of size.
    assert count(Dense(3, classes, group.streams)) > 50 * count(ConvReadout(3, classes, group, map_size))


class Dense(nn.Module):
    """What the readout without structure must not be: a free convolution of all slices together."""

    def __init__(self, channels: int, classes: int, slices: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels * slices, channels * slices, 7, stride=2, bias=False)
        self.linear = nn.Linear(channels, classes)

    def forward(self, values: Tensor) -> Tensor:
        slices = self.conv(values.transpose(1, 2).flatten(1, 2)).unflatten(1, (values.shape[2], -1))
        return self.linear(slices.mean((-2, -1)).amax(dim=1))  # type: ignore[no-any-return]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_slices_share_the_layer_that_reads_them() -> None:
    readout, dense = PlainConvReadout(3, 10, 8).double(), Dense(3, 10, 4).double()
    values, order = noise(2, 3, 4, 8, 8), torch.tensor([2, 0, 3, 1])
    assert error(readout(values[:, :, order]), readout(values)) <= 1e-12
    assert error(dense(values[:, :, order]), dense(values)) > 1e-2
    # Slice by slice, by the definition: the kernels of the first stream, an ordinary convolution.
    kernels = readout.conv.kernels()[:, :, 0]
    read = torch.stack([nn.functional.conv2d(values[:, :, one], kernels, stride=2) for one in range(4)])
    assert error(readout(values), readout.linear(read.amax(dim=0).mean((-2, -1)))) <= 1e-12


def test_rows_share_their_layer_and_the_largest_is_read() -> None:
    readout, values = RowReadout(3, 10).double(), noise(2, 3, 16)
    assert torch.equal(readout(values), readout(values.flip(-1)))
    expected = readout.linear((values.transpose(1, 2) @ readout.rows.weight.T).amax(dim=1))
    assert error(readout(values), expected) <= 1e-13


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Projector(0, (3,)), "at least one layer of positive width"),
        (lambda: Projector(3, ()), "at least one layer of positive width"),
        (lambda: Projector(3, (4, 0)), "at least one layer of positive width"),
        (lambda: ConvReadout(3, 0, Rotations(), 7), "classes 0"),
        (lambda: ConvReadout(3, 1, Rotations(), 0), "map_size 0"),
        (lambda: PlainConvReadout(3, 1, 0), "map_size 0"),
        (lambda: PooledReadout(0, 10), "channels 0"),
        (lambda: RowReadout(3, -1), "classes -1"),
    ],
)
def test_bad_values_are_refused(build: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build()
