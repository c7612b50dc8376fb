"""What the equivariance report says of exact, broken, zero-padded, approximate and unstructured networks."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor, nn

import hssl.backbones.backbone
from hssl.backbones import (
    MLP,
    Backbone,
    CIFAR10ResNet20,
    PlainThreeLayer,
    ThreeLayer,
    TinyImageNetResNet20,
    randomize_statistics,
)
from hssl.errors import GroupError
from hssl.evaluation.equivariance import equivariance_report, relative_error
from hssl.groups import Dihedral, Exactness, Group, Rotations, Scales, Translations
from hssl.layers import BasisKind, LiftingConv2d, SpatialStep

DTYPES = [torch.float32, torch.float64]


def random_network(network: Backbone, dtype: torch.dtype = torch.float64) -> Backbone:
    randomize_statistics(network, torch.Generator().manual_seed(0))
    return network.to(dtype)


def images_for(network: Backbone, dtype: torch.dtype = torch.float64, count: int = 2) -> Tensor:
    """Smooth random fields, so that resampling them is meaningful."""
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, network.in_channels, 7, 7, generator=generator, dtype=torch.float64)
    size = network.resolution
    return nn.functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False).to(dtype)


def build(kind: type[Backbone], group: Group, resolution: int, width: float) -> Backbone:
    torch.manual_seed(0)
    return kind(group, resolution=resolution, width=width)  # type: ignore[call-arg]


EXACT = [
    (ThreeLayer, Rotations(), 29, 1 / 8),
    (ThreeLayer, Rotations(), 13, 1 / 8),
    (ThreeLayer, Dihedral(), 17, 1 / 8),
    (CIFAR10ResNet20, Rotations(), 25, 1 / 32),
    (TinyImageNetResNet20, Rotations(), 17, 1 / 32),
    (ThreeLayer, Translations(circular=True), 28, 1 / 8),
    (CIFAR10ResNet20, Translations(circular=True), 16, 1 / 32),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("kind", "group", "resolution", "width"), EXACT, ids=str)
def test_exact_groups_are_held(
    kind: type[Backbone], group: Group, resolution: int, width: float, dtype: torch.dtype
) -> None:
    network = random_network(build(kind, group, resolution, width), dtype)
    report = equivariance_report(network, images_for(network, dtype))
    assert report.exactness is Exactness.EXACT
    assert report.bound == {torch.float32: 1e-5, torch.float64: 1e-12}[dtype]
    assert report.held is True
    assert len(report.errors) == (4 if isinstance(group, Translations) else group.order)
    assert json.loads(json.dumps(report.as_dict()))["class"] == "exact"


@pytest.mark.parametrize("width", [1 / 8])
def test_full_extent_is_held(width: float) -> None:
    network = random_network(ThreeLayer(Rotations(), resolution=13, width=width, full_extent=True))
    assert equivariance_report(network, images_for(network)).held is True


class Unturned(Rotations):
    """Does not turn its filters."""

    def orient(self, kernels: Tensor) -> Tensor:
        return kernels.squeeze(-3).unsqueeze(-3).expand(*kernels.shape[:-3], 4, *kernels.shape[-2:])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_unturned_layer_is_not_held(dtype: torch.dtype) -> None:
    network = ThreeLayer(Rotations(), resolution=13, width=1 / 8)
    network.conv2.group = Unturned()
    report = equivariance_report(random_network(network, dtype), images_for(network, dtype))
    assert report.held is False
    assert report.errors["0°"] <= 1e-12
    assert all(report.errors[name] > 1e-2 for name in ("90°", "180°", "270°"))


def test_an_illegal_size_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hssl.backbones.backbone, "check_size", lambda *_: None)
    network = random_network(ThreeLayer(Rotations(), resolution=14, width=1 / 8))
    report = equivariance_report(network, images_for(network))
    assert report.held is False
    assert max(report.errors.values()) > 1e-2


def test_a_torus_that_pads_with_zeros_is_not_held() -> None:
    network = ThreeLayer(Translations(circular=True), resolution=16, width=1 / 8)
    network.conv2.group = Translations()
    report = equivariance_report(random_network(network), images_for(network))
    assert report.held is False
    assert min(report.errors.values()) > 1e-2


@pytest.mark.parametrize(
    ("kind", "resolution", "width"),
    [(ThreeLayer, 28, 1 / 8), (ThreeLayer, 29, 1 / 8), (TinyImageNetResNet20, 25, 1 / 64)],
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_zero_padded_translations_are_held_off_the_border(
    kind: type[Backbone], resolution: int, width: float, dtype: torch.dtype
) -> None:
    if kind is TinyImageNetResNet20 and dtype == torch.float64:
        width = 1 / 128
    network = random_network(build(kind, Translations(), resolution, width), dtype)
    report = equivariance_report(network, images_for(network, dtype), largest_shift=1)
    assert report.exactness is Exactness.OFF_BORDER
    assert report.held is True
    assert all("off the border" in name for name in report.errors)
    assert len(report.errors) == 3
    # What the paper's networks see is the border, and there it is far from exact.
    with_border = [error for name, error in report.context.items() if "with the border" in name]
    assert len(with_border) == 3
    assert min(with_border) > 1e-2


class HalfStep(ThreeLayer):
    """Positions weighted unevenly: no translation law anywhere."""

    def maps(self, images: Tensor) -> Tensor:
        z = super().maps(images)
        return z * torch.linspace(1, 2, z.shape[-1], dtype=z.dtype)


def test_uneven_positions_are_not_held_off_the_border() -> None:
    network = random_network(HalfStep(Translations(), resolution=28, width=1 / 8))
    report = equivariance_report(network, images_for(network))
    assert report.held is False
    assert any(error > 1e-3 for error in report.errors.values())


@pytest.mark.parametrize("kind", [ThreeLayer, CIFAR10ResNet20])
def test_scales_are_reported_beside_their_floor(kind: type[Backbone]) -> None:
    group = Scales((1.0, 1.25, 1.5, 1.75))
    network = random_network(build(kind, group, 29, 1 / 8 if kind is ThreeLayer else 1 / 32))
    report = equivariance_report(network, images_for(network))
    assert report.exactness is Exactness.APPROXIMATE
    assert report.bound is None
    assert report.held is None
    assert len(report.errors) == 3
    floor = [error for name, error in report.context.items() if "resampling alone" in name]
    pooled = [error for name, error in report.context.items() if "pooled" in name]
    assert len(floor) == len(pooled) == 3
    assert floor == sorted(floor)
    assert all(0 < error < 1 for error in floor)
    # A map of 7 pixels with a receptive field of hundreds is border everywhere: the smaller network stays below one.
    largest = 1 if kind is ThreeLayer else 10
    assert all(1e-2 < error < largest for error in report.errors.values())


class Lifted(Backbone):
    """One lifting layer: the scale law without strides, depth and biases."""

    def __init__(self, basis: BasisKind, order: tuple[int, ...] = (0, 1)) -> None:
        super().__init__()
        self.group, self.in_channels, self.channels, self.order = Scales((1.0, 1.5)), 1, 8, list(order)
        self.lift = LiftingConv2d(1, 8, 7, 3, self.group, padding=3, basis=basis)
        self._check_and_bind(61)

    def spatial_steps(self) -> list[SpatialStep]:
        return [self.lift.spatial_step("lift")]

    def maps(self, images: Tensor) -> Tensor:
        return self.lift(images)[:, :, self.order]  # type: ignore[no-any-return]


def scale_error(network: Backbone) -> tuple[float, float]:
    """The error of the pair, and the floor that resampling sets."""
    line = torch.linspace(-1, 1, 61, dtype=torch.float64)
    images = images_for(network.double()) * torch.exp(-6 * (line[:, None] ** 2 + line**2))
    report = equivariance_report(network, images)
    (error,) = report.errors.values()
    return error, next(value for name, value in report.context.items() if "resampling alone" in name)


def test_scale_law_of_one_layer() -> None:
    """Small images read at the small scale are large images read at the large one; the other pairing is not a law."""
    torch.manual_seed(0)
    untruncated, cut_off, swapped = Lifted("untruncated"), Lifted("sesn"), Lifted("untruncated", (1, 0))
    cut_off.load_state_dict(untruncated.state_dict())
    swapped.load_state_dict(untruncated.state_dict())
    error, floor = scale_error(untruncated)
    assert error < 0.01
    assert floor < 0.05
    assert scale_error(swapped)[0] > 10 * error
    # The paper's basis cuts its Gaussians off unevenly and pays for it.
    assert 2 * error < scale_error(cut_off)[0] < 0.15


@pytest.mark.parametrize(
    ("images_by", "names"),
    [
        (Translations(), {"shifted by (+4, +0) px, next slice", "shifted by (+0, +4) px, next slice"}),
        (Scales((1.0, 1.5)), {"shrunk by 0.8, next slice", "shrunk by 0.571, next slice"}),
        (Rotations(), {"90°, next slice", "180°, next slice", "270°, next slice"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_unstructured_networks_are_off_by_order_one(kind: str, images_by: Group, names: set[str]) -> None:
    torch.manual_seed(0)
    network: Backbone = (
        MLP(resolution=16, width=1 / 8, images_by=images_by, rows=4)
        if kind == "mlp"
        else PlainThreeLayer(resolution=16, width=1 / 8, images_by=images_by, streams=4)
    )
    report = equivariance_report(random_network(network), images_for(network))
    assert report.exactness is Exactness.NONE
    assert report.bound is None
    assert report.held is None
    assert set(report.errors) == names
    assert all(0.1 < error < 10 for error in report.errors.values())


def test_each_parts_mode_is_restored() -> None:
    network = random_network(ThreeLayer(Rotations(), resolution=13, width=1 / 8)).train()
    network.norm2.eval()
    statistics = {name: buffer.clone() for name, buffer in network.named_buffers()}
    equivariance_report(network, images_for(network))
    assert network.training
    assert network.norm1.training
    assert not network.norm2.training
    assert all(torch.equal(buffer, statistics[name]) for name, buffer in network.named_buffers())


def test_a_group_without_a_law_is_refused() -> None:
    class Sheared(Rotations):
        closed = False

    network = ThreeLayer(Rotations(), resolution=13, width=1 / 8)
    network.group = Sheared()
    with pytest.raises(GroupError, match="no equivariance measure"):
        equivariance_report(network.double(), images_for(network))


def test_relative_error() -> None:
    ones, zeros = torch.ones(4), torch.zeros(4)
    assert relative_error(2 * ones, ones) == pytest.approx(1.0)
    assert not math.isfinite(relative_error(zeros, zeros))
    assert not math.isfinite(relative_error(ones, zeros))


def test_a_dead_network_holds_nothing() -> None:
    """Zero is equivariant to everything, and says nothing: it must not pass for a check that held."""
    network = ThreeLayer(Rotations(), resolution=13, width=1 / 8).double()
    nn.init.constant_(network.norm3.bias, -100.0)
    report = equivariance_report(network, images_for(network))
    assert report.held is False
    plain = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert set(plain["errors"].values()) == {None}
