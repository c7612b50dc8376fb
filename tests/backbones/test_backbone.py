"""The laws of both network families: exact where it is promised, refused where it would not be."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from hssl.backbones import (
    CIFAR10ResNet20,
    ResNet20,
    SteerableBackbone,
    ThreeLayer,
    TinyImageNetResNet20,
    randomize_statistics,
)
from hssl.backbones.backbone import scaled
from hssl.errors import ConfigurationError, SizeError
from hssl.groups import Group, GroupFeatures, Product, Rotations, Scales, Translations, Unstructured
from hssl.groups.translations import shift
from hssl.layers import GroupBatchNorm, GroupConv2d, PlainConv2d, PlanChoice
from laws import BOUNDS, PAPER_SCALES, TURNING, error, noise, shift_error, turning_errors, values_of

# The paper's three networks, of both families: class, channels, a size that is legal for turns, total stride.
NETWORKS: dict[str, tuple[Callable[..., SteerableBackbone], int, int, int]] = {
    "three-layer": (ThreeLayer, 1, 29, 4),
    "cifar10": (CIFAR10ResNet20, 3, 25, 4),
    "tiny-imagenet": (TinyImageNetResNet20, 3, 25, 8),
}

# Folded streams are one stream turned, whatever the size and the filters: laws have to hold, and controls to fail, in
# the plain formulation.
PLANS: tuple[PlanChoice, ...] = ("plain", "auto")


def built(
    name: str,
    group: Group,
    resolution: int | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    plan: PlanChoice = "auto",
    **settings: object,
) -> SteerableBackbone:
    """A narrow network with random statistics in every BatchNorm, in eval mode."""
    kind, channels, legal, _ = NETWORKS[name]
    torch.manual_seed(0)
    network = kind(group, in_channels=channels, resolution=resolution or legal, width=1 / 32, **settings).to(dtype)
    network.plan = plan
    randomize_statistics(network, torch.Generator().manual_seed(1))
    return network.eval()


def images_for(network: SteerableBackbone, batch: int = 2, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return noise(batch, network.in_channels, network.resolution, network.resolution, dtype=dtype)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(("full", "plan"), [(False, "plain"), (False, "auto"), (True, "plain")])
@pytest.mark.parametrize("turning", TURNING)
@pytest.mark.parametrize("name", NETWORKS)
def test_turns_and_mirrors_are_exact(
    name: str, turning: str, full: bool, plan: PlanChoice, dtype: torch.dtype, training: bool
) -> None:
    group = TURNING[turning]()
    network = built(name, group, full_extent=full, dtype=dtype, plan=plan).train(training)
    errors = turning_errors(values_of(network), images_for(network, dtype=dtype), range(group.order))
    bound = BOUNDS[dtype]
    if plan == "auto" and training and dtype == torch.float32:
        # Folded rows of turned images are the same rows in another order, and BatchNorm adds them up in that order. On
        # a CPU torch does so in float32 for channels-last maps and in float64 for contiguous ones.
        bound = 2e-5
    assert max(errors) <= bound


@pytest.mark.parametrize("turning", TURNING)
def test_rounding_in_train_mode_is_that_of_the_batch_norm(turning: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the wider bound above: with sums in float64 nothing is left of the error."""

    def wide(self: GroupBatchNorm, z: GroupFeatures) -> GroupFeatures:
        values = z.settled
        variance, mean = torch.var_mean(values.double(), (0, 2, 3), correction=0, keepdim=True)
        normal = (values - mean.float()) * (variance.float() + self.eps).rsqrt()
        return z.replaced(normal * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1))

    group = TURNING[turning]()
    network = built("cifar10", group, dtype=torch.float32).train()
    images = images_for(network, dtype=torch.float32)
    narrow = max(turning_errors(values_of(network), images, range(group.order)))
    monkeypatch.setattr(GroupBatchNorm, "forward", wide)
    assert max(turning_errors(values_of(network), images, range(group.order))) <= 3e-6 < narrow


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_library_action_is_the_one_that_holds(name: str, plan: PlanChoice) -> None:
    """f(T_g x) = Γ_g f(x) in the project's own words, and of two elements one after the other."""
    network = built(name, Rotations(), plan=plan)
    images = images_for(network)
    features = network(images)
    order = features.group.second.order
    for first, second in ((1, 0), (2, 3), (3, 3)):
        both = network.group.compose(first, second)
        moved = network(network.group.transform(network.group.transform(images, second), first)).values
        assert error(moved, features.transform(second * order).transform(first * order).values) <= 1e-12
        assert error(moved, features.transform(both * order).values) <= 1e-12
        pooled = features.pool_space().transform(both).values
        assert error(moved.mean((-2, -1)), pooled) <= 1e-12


@pytest.mark.parametrize("name", NETWORKS)
def test_the_refusal_is_right_at_every_size(name: str) -> None:
    """Legal sizes are exact; at the others the same layers, put together by hand, break the law."""
    network = built(name, Rotations(), plan="plain")
    legal_sizes = []
    for size in range(16, 34):
        errors = turning_errors(values_of(network), noise(1, network.in_channels, size, size), [1, 2, 3])
        try:
            built(name, Rotations(), size)
        except SizeError:
            assert min(errors) > 1e-2, size
        else:
            assert max(errors) <= 1e-12, size
            legal_sizes.append(size)
    assert legal_sizes == [size for size in range(16, 34) if size % NETWORKS[name][3] == 1]


@pytest.mark.parametrize(
    ("name", "size", "layer", "nearest"),
    [
        ("three-layer", 28, "conv2", "25 or 29"),
        ("three-layer", 31, "conv3", "29 or 33"),
        ("cifar10", 28, "blocks.3.conv1", "25 or 29"),
        ("cifar10", 27, "blocks.6.conv1", "25 or 29"),
        ("tiny-imagenet", 32, "blocks.2.conv1", "25 or 33"),
        ("tiny-imagenet", 29, "blocks.6.conv1", "25 or 33"),
    ],
)
def test_illegal_sizes_name_the_layer_and_the_nearest_legal_ones(
    name: str, size: int, layer: str, nearest: str
) -> None:
    with pytest.raises(SizeError) as caught:
        built(name, Rotations(), size)
    for part in (f"{size} x {size}", f"layer {layer} sees", nearest, "data.resolution"):
        assert part in str(caught.value)


@pytest.mark.parametrize("size", [0, -5])
@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_that_are_none_are_refused(name: str, size: int) -> None:
    with pytest.raises(SizeError, match="cannot be built for"):
        NETWORKS[name][0](Scales((1.0,)), in_channels=1, resolution=size, width=1 / 32)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("basis", ["sesn", "untruncated"])
@pytest.mark.parametrize(("name", "size"), [("three-layer", 32), ("cifar10", 24), ("tiny-imagenet", 32)])
def test_circular_shifts_are_exact(name: str, size: int, basis: str, plan: PlanChoice) -> None:
    network = built(name, Translations(circular=True), size, basis=basis, plan=plan)
    stride = NETWORKS[name][3]
    side = size // stride
    assert network.feature_group == Translations((side, side), stride=stride, circular=True)
    images = images_for(network, 1)
    for steps in ((1, 0), (0, 1), (1, 1), (side - 1, 2), (2, side - 1), (side // 2, side // 2)):
        assert shift_error(values_of(network), images, steps, stride) <= 1e-12
    # The control: a pixel is less than a step.
    with torch.no_grad():
        assert error(values_of(network)(images.roll(1, -1)), values_of(network)(images)) > 1e-2


def test_all_circular_shifts_of_one_network_are_exact() -> None:
    network = built("three-layer", Translations(circular=True), 16)
    images = images_for(network, 1)
    with torch.no_grad():
        features = network(images)
        for element in range(features.group.order):
            moved = network(features.group.transform(images, element)).values
            assert error(moved, features.transform(element).values) <= 1e-12


@pytest.mark.parametrize(("name", "size"), [("three-layer", 30), ("cifar10", 25), ("tiny-imagenet", 28)])
def test_circular_networks_refuse_sizes_that_do_not_wrap(name: str, size: int) -> None:
    with pytest.raises(SizeError, match="does not divide"):
        built(name, Translations(circular=True), size)


@pytest.mark.parametrize("name", ["three-layer", "tiny-imagenet"])
def test_circular_maps_smaller_than_the_padding_wrap_more_than_once(name: str) -> None:
    network = built(name, Translations(circular=True), 16, basis="untruncated")
    assert shift_error(values_of(network), images_for(network), (1, 0), NETWORKS[name][3]) <= 1e-12


def test_zero_padded_shifts_are_exact_off_the_border_and_not_at_it() -> None:
    network = built("three-layer", Translations(), 96)
    images = images_for(network, 1)
    rows, columns = 2, 1
    with torch.no_grad():
        before = network(images).values
        after = network(shift(images, torch.tensor([[4 * rows, 4 * columns]]), False)).values
    expected = before.roll((rows, columns), (-2, -1))
    # The receptive field is 11 + 6 + 12 = 29 pixels: 14 to each side, less than four steps.
    inside = (..., slice(4 + rows, -4), slice(4 + columns, -4))
    assert error(after[inside], expected[inside]) <= 1e-12
    assert error(after[..., rows:, columns:], expected[..., rows:, columns:]) > 1e-2
    assert error(after[..., rows:4, columns:], expected[..., rows:4, columns:]) > 1e-2


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("name", NETWORKS)
def test_with_extent_one_the_streams_are_one_network_on_turned_images(name: str, plan: PlanChoice) -> None:
    """z_r = rot_r Φ(rot_-r x)."""
    network = built(name, Rotations(), plan=plan)
    images = images_for(network, 1)
    with torch.no_grad():
        z = values_of(network)(images)
        for quarter in range(4):
            turned = values_of(network)(torch.rot90(images, -quarter, (-2, -1)))
            assert error(z[:, :, quarter], torch.rot90(turned[:, :, 0], quarter, (-2, -1))) <= 1e-12


class Unturned(GroupConv2d):
    """Wrong on purpose: kernels that are not turned."""

    def kernels(self) -> torch.Tensor:
        return super().kernels()[:, :, :1].expand(-1, -1, 4, -1, -1)


class NormByStream(nn.Module):
    """Wrong on purpose: statistics by stream."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4 * channels)

    def forward(self, z: GroupFeatures) -> GroupFeatures:
        """Rows image after image with their four streams, as the plain formulation has them."""
        rows = z.settled
        out: torch.Tensor = self.norm(rows.reshape(-1, self.norm.num_features, *rows.shape[2:]))
        return z.replaced(out.reshape(rows.shape))


@pytest.mark.parametrize("wrong", ["kernels", "statistics"])
def test_one_wrong_layer_is_seen(wrong: str) -> None:
    network = built("three-layer", Rotations(), plan="plain")
    images = images_for(network, 1)
    assert max(turning_errors(values_of(network), images, [1, 2, 3])) <= 1e-12
    assert isinstance(network, ThreeLayer)
    if wrong == "kernels":
        network.conv2.__class__ = Unturned
    else:
        network.norm2 = NormByStream(network.norm2.num_features).double()  # type: ignore[assignment]
        randomize_statistics(network, torch.Generator().manual_seed(0))
        network.eval()
    assert min(turning_errors(values_of(network), images, [1, 2, 3])) > 1e-2


@pytest.mark.parametrize("basis", ["sesn", "untruncated"])
@pytest.mark.parametrize(
    ("group", "size", "full"),
    [
        (Rotations(), None, False),
        (Rotations(), None, True),
        (Scales(PAPER_SCALES), 16, False),
        (Translations(circular=True), 16, False),
        (Translations(), 19, False),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_materialized_network_gives_the_same_features(
    name: str, group: Group, size: int | None, full: bool, basis: str
) -> None:
    network = built(name, group, size, basis=basis, full_extent=full)
    images = images_for(network)
    plain = copy.deepcopy(network).materialize()
    assert any(isinstance(part, PlainConv2d) for part in plain.modules())
    assert not any(isinstance(part, GroupConv2d) for part in plain.modules())
    with torch.no_grad():
        assert error(plain(images).values, network(images).values) <= 1e-12
    # What is asked of a network can still be asked.
    assert plain.total_stride == network.total_stride == NETWORKS[name][3]
    assert plain.legal_sizes(20) == network.legal_sizes(20)
    assert list(plain.spatial_steps()) == list(network.spatial_steps())


@pytest.mark.parametrize("name", NETWORKS)
def test_trap_8_state_in_both_modes(name: str) -> None:
    network = built(name, Rotations(), dtype=torch.float32)
    images = images_for(network, dtype=torch.float32)
    network.train()(images)
    training = set(network.state_dict())
    network.eval()(images)
    assert set(network.state_dict()) == training
    assert copy.deepcopy(network)(images).values.equal(network(images).values)
    other = built(name, Rotations(), dtype=torch.float32)
    other.load_state_dict(network.state_dict())
    assert other(images).values.equal(network(images).values)


@pytest.mark.parametrize("name", NETWORKS)
def test_trap_6_every_parameter_has_a_gradient(name: str) -> None:
    network = built(name, Rotations(), dtype=torch.float32).train()
    values = network(images_for(network, dtype=torch.float32)).values
    (values * noise(*values.shape, dtype=torch.float32)).sum().backward()
    without = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


def test_turns_and_circular_shifts_share_a_network_only_without_strides() -> None:
    group = Product(Rotations(), Translations(circular=True))
    with pytest.raises(SizeError, match="none near"):
        ThreeLayer(group, resolution=32, width=1 / 32)
    for size in (6, 7):
        torch.manual_seed(0)
        network = ResNet20(group, widths=(64,), strides=(1,), blocks=1, resolution=size, width=1 / 32, full_extent=True)
        randomize_statistics(network.double().eval(), torch.Generator().manual_seed(0))
        assert network.feature_group == Product(Rotations(), Translations((size, size), circular=True))
        images = images_for(network, 1)
        with torch.no_grad():
            features = network(images)
            for element in range(0, features.group.order, 9):
                moved = network(features.group.transform(images, element)).values
                assert error(moved, features.transform(element).values) <= 1e-12


def test_other_images_than_it_was_built_for_are_refused() -> None:
    network = built("three-layer", Rotations())
    for shape in ((1, 1, 30, 30), (1, 3, 29, 29), (1, 29, 29), (1, 1, 29, 33)):
        with pytest.raises(SizeError, match=r"built for images \[batch, 1, 29, 29\]"):
            network(torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0.0}, "width factor"),
        ({"width": -1.0}, "width factor"),
        ({"width": float("nan")}, "width factor"),
        ({"width": float("inf")}, "width factor"),
        ({"in_channels": 0}, "in_channels"),
        ({"basis": "other"}, "no such basis"),
    ],
)
@pytest.mark.parametrize("name", NETWORKS)
def test_bad_settings_are_refused(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        NETWORKS[name][0](Rotations(), **settings)


@pytest.mark.parametrize("name", NETWORKS)
def test_groups_that_a_network_cannot_have_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="group in name only"):
        built(name, Unstructured(6, Rotations()))
    with pytest.raises(ConfigurationError, match="cannot have an extent of 6"):
        built(name, Scales(PAPER_SCALES), full_extent=True)


def test_scaled_channels() -> None:
    assert [scaled(64, width) for width in (1.0, 0.5, 1 / 1000, 1.5)] == [64, 32, 1, 96]


def test_random_statistics_reach_every_norm() -> None:
    module = nn.Sequential(
        nn.BatchNorm1d(4), nn.BatchNorm2d(4, affine=False), nn.BatchNorm2d(4, track_running_stats=False)
    )
    randomize_statistics(module, torch.Generator().manual_seed(0))
    first, second, third = module
    for norm in (first, second):
        assert isinstance(norm.running_mean, torch.Tensor)
        assert isinstance(norm.running_var, torch.Tensor)
        assert norm.running_mean.std() > 0.01
        assert norm.running_var.min() >= 0.5
    assert isinstance(first.weight, torch.Tensor)
    assert first.weight.std() > 0.01
    assert third.running_mean is None


@pytest.mark.parametrize("materialized", [False, True])
@pytest.mark.parametrize("network", [ThreeLayer, CIFAR10ResNet20])
def test_an_empty_batch_passes(network: type[ThreeLayer] | type[CIFAR10ResNet20], materialized: bool) -> None:
    """A rank may get no part of the last test batch."""
    backbone = network(Rotations(), in_channels=1, resolution=29, width=1 / 16).eval()
    if materialized:
        backbone.materialize()
    assert backbone(torch.zeros(0, 1, 29, 29)).values.shape == (0, backbone.channels, 4, 8, 8)
