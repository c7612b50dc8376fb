"""Z2 -> G x Z2."""

import pytest
import torch

from hssl.errors import ConfigurationError, SizeError
from hssl.groups import Product, Rotations, Scales, Translations, Unstructured
from hssl.groups.translations import shift
from hssl.layers import PLANS, BasisKind, LiftingConv2d, PlanChoice
from laws import (
    BOUNDS,
    PAPER_SCALES,
    PLANNED,
    TURNING,
    error,
    moved,
    moved_features,
    noise,
    plan_error,
    randomize,
    shift_error,
    turning_errors,
)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("basis", ["sesn", "untruncated"])
@pytest.mark.parametrize(("size", "stride"), [(11, 1), (12, 1), (11, 2), (13, 3)])
@pytest.mark.parametrize("plan", ["plain", "direct"])
@pytest.mark.parametrize("name", TURNING)
def test_turns_and_mirrors_are_exact(
    name: str, plan: PlanChoice, size: int, stride: int, basis: BasisKind, dtype: torch.dtype
) -> None:
    group = TURNING[name]()
    layer = LiftingConv2d(2, 3, 7, 3, group, stride=stride, padding=3, bias=True, basis=basis).to(dtype)
    layer.plan = plan
    randomize(layer)
    errors = turning_errors(layer, noise(2, 2, size, size, dtype=dtype), range(group.order))
    assert max(errors) <= BOUNDS[dtype]


def test_each_stream_is_an_ordinary_convolution_of_the_turned_image() -> None:
    """z_r = rot_r Φ(rot_-r x), the slow twin of the fold into channels."""
    layer = LiftingConv2d(2, 3, 5, 3, Rotations(), padding=2).double()
    randomize(layer)
    images = noise(2, 2, 9, 9)
    streams = layer(images)
    kernel = layer.kernels()[:, :, 0]
    for quarter in range(4):
        expected = moved(torch.nn.functional.conv2d(moved(images, -quarter % 4), kernel, padding=2), quarter)
        assert error(streams[:, :, quarter], expected) <= 1e-13


def test_each_scale_has_its_own_filters() -> None:
    layer = LiftingConv2d(2, 3, 7, 3, Scales(PAPER_SCALES), padding=3).double()
    randomize(layer)
    images = noise(2, 2, 9, 9)
    streams = layer(images)
    for scale in range(6):
        expected = torch.nn.functional.conv2d(images, layer.kernels()[:, :, scale], padding=3)
        assert error(streams[:, :, scale], expected) <= 1e-13


@pytest.mark.parametrize("basis", ["sesn", "untruncated"])
@pytest.mark.parametrize(("shape", "stride"), [((6, 9), 1), ((8, 4), 2), ((6, 9), 3)])
def test_circular_shifts_are_exact(shape: tuple[int, int], stride: int, basis: BasisKind) -> None:
    layer = LiftingConv2d(2, 3, 7, 3, Translations(circular=True), stride=stride, padding=3, basis=basis).double()
    randomize(layer)
    height, width = (side // stride for side in shape)
    for steps in [(row, column) for row in range(height) for column in range(width)]:
        assert shift_error(layer, noise(2, 2, *shape), steps, stride) <= 1e-12


def test_shifts_by_less_than_the_stride_are_not_exact() -> None:
    layer = LiftingConv2d(2, 3, 7, 3, Translations(circular=True), stride=2, padding=3).double()
    randomize(layer)
    images = noise(2, 2, 8, 8)
    assert error(layer(images.roll(1, -1)), layer(images)) > 1e-2


def test_zero_padded_shifts_are_exact_off_the_border_and_not_at_it() -> None:
    layer = LiftingConv2d(2, 3, 7, 3, Translations(), padding=3).double()
    randomize(layer)
    images = noise(2, 2, 16, 16)
    before, after = layer(images), layer(shift(images, torch.tensor([[2, 1]] * 2), False))
    expected = before.roll((2, 1), (-2, -1))
    inside = (..., slice(5, -3), slice(4, -3))
    assert error(after[inside], expected[inside]) <= 1e-12
    assert error(after[..., 4:, 4:], expected[..., 4:, 4:]) > 1e-2
    assert error(after[..., 5:, 4:], expected[..., 5:, 4:]) > 1e-2


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("name", TURNING)
def test_turns_and_circular_shifts_together_are_exact(name: str, size: int) -> None:
    group = Product(TURNING[name](), Translations(circular=True))
    space = Product(group.first, Translations((size, size), circular=True))
    layer = LiftingConv2d(2, 3, 5, 3, group, padding=2).double()
    randomize(layer)
    images = noise(1, 2, size, size)
    before = layer(images)
    for element in range(0, space.order, 5):
        after = layer(space.transform(images, element))
        assert error(after, space.transform_features(before, element)) <= 1e-12


def test_30_by_33_passes_one_quarter_turn_and_fails_the_others() -> None:
    """Both axes must be legal: 33 is, 30 is not, and one quarter turn alone never reverses the axis of 30."""
    layer = LiftingConv2d(1, 2, 7, 3, Rotations(), stride=2, padding=3).double()
    randomize(layer)

    def errors(height: int, width: int) -> list[float]:
        return turning_errors(layer, noise(1, 1, height, width), [1, 2, 3])

    one, two, three = errors(30, 33)
    assert one <= 1e-12
    assert two > 1e-2
    assert three > 1e-2
    assert max(errors(29, 33)) <= 1e-12
    assert min(errors(30, 32)) > 1e-2


def test_output_size_is_that_of_the_nominal_kernel() -> None:
    images = noise(1, 1, 13, 13, dtype=torch.float32)
    for stride, padding in ((1, 0), (1, 3), (2, 3), (2, 0)):
        sizes = {
            LiftingConv2d(1, 1, 7, 3, Scales(PAPER_SCALES), stride, padding, basis=basis)(images).shape[-1]
            for basis in ("sesn", "untruncated")
        }
        assert sizes == {(13 + 2 * padding - 7) // stride + 1}


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("basis", ["sesn", "untruncated"])
@pytest.mark.parametrize("plan", [*PLANS, "auto"])
@pytest.mark.parametrize("name", PLANNED)
def test_every_plan_equals_the_plain_formulation(
    name: str, plan: PlanChoice, basis: BasisKind, dtype: torch.dtype
) -> None:
    for stride, padding, size in ((1, 3, (9, 9)), (1, 0, (8, 11)), (2, 3, (9, 9)), (2, 1, (10, 10))):
        layer = LiftingConv2d(2, 3, 7, 4, PLANNED[name](), stride, padding, bias=True, basis=basis).to(dtype)
        randomize(layer)
        assert plan_error(layer, noise(2, 2, *size, dtype=dtype), plan) <= BOUNDS[dtype], (stride, padding, size)


@pytest.mark.parametrize(("channels", "largest", "apart"), [(32, 1.75, True), (9, 1.75, True), (32, 1.0, False)])
def test_streams_are_convolved_apart_where_cropping_pays(
    channels: int, largest: float, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Smaller scales have rims of zeros to leave out; scales of one size have none."""
    scales = tuple(largest * factor for factor in (0.997, 0.998, 0.999, 1)) if largest == 1 else PAPER_SCALES
    layer = LiftingConv2d(1, channels, 11, 3, Scales(scales), padding=5)
    calls: list[int] = []
    whole = layer._by_stream
    monkeypatch.setattr(layer, "_by_stream", lambda values: calls.append(len(values)) or whole(values))
    images = noise(2, 1, 13, 13, dtype=torch.float32)
    out = layer(images)
    assert calls == ([len(scales)] if apart else [])
    layer.plan = "plain"
    assert error(layer(images), out) <= 1e-5
    assert calls == ([len(scales)] if apart else [])


def test_the_bias_is_shared_over_the_group() -> None:
    layer = LiftingConv2d(1, 3, 5, 2, Rotations(), bias=True).double()
    assert layer.bias is not None
    torch.nn.init.constant_(layer.weight, 0)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    out = layer(noise(1, 1, 5, 5))
    assert torch.equal(out, layer.bias.reshape(1, 3, 1, 1, 1).expand_as(out))


def test_a_control_with_unturned_copies_fails() -> None:
    class Unturned(LiftingConv2d):
        def kernels(self) -> torch.Tensor:
            return super().kernels()[:, :, :1].expand(-1, -1, 4, -1, -1)

    layer = Unturned(1, 2, 5, 3, Rotations(), padding=2).double()
    randomize(layer)
    errors = turning_errors(layer, noise(1, 1, 9, 9), [0, 1, 2, 3])
    assert errors[0] == 0
    assert min(errors[1:]) > 1e-2


def test_the_twin_of_the_features_is_the_library_action() -> None:
    group = Product(Rotations(), Translations((5, 5)))
    values = noise(2, 3, 4, 5, 5)
    for quarter in range(4):
        assert torch.equal(group.transform_features(values, quarter * 25), moved_features(values, quarter))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_channels": 0}, "in_channels of a convolution is at least 1"),
        ({"out_channels": 0}, "out_channels of a convolution is at least 1"),
        ({"stride": 0}, "stride of a convolution is at least 1"),
        ({"padding": -1}, "padding of a convolution is at least 0"),
        ({"kernel_size": 4}, "odd kernel size"),
        ({"effective_size": 9}, "effective size"),
        ({"basis": "other"}, "no such basis"),
        ({"group": Unstructured(4, Rotations())}, "group in name only"),
        ({"group": Scales(PAPER_SCALES), "kernel_size": 3}, "vanishes on the grid"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    good = {"in_channels": 1, "out_channels": 1, "kernel_size": 5, "effective_size": 3, "group": Rotations()}
    with pytest.raises(ConfigurationError, match=message):
        LiftingConv2d(**{**good, **settings})  # type: ignore[arg-type]


def test_bad_images_are_refused() -> None:
    layer = LiftingConv2d(2, 3, 7, 3, Rotations(), padding=1)
    for shape in ((2, 9, 9), (1, 3, 9, 9), (1, 2, 4, 9, 9)):
        with pytest.raises(SizeError, match=r"LiftingConv2d\(2 -> 3 x 4.*takes images \[batch, 2, height, width\]"):
            layer(torch.zeros(shape))
    with pytest.raises(SizeError, match=r"kernel larger than its padded input[\s\S]*4 x 9[\s\S]*at least 5"):
        layer(torch.zeros(1, 2, 4, 9))
