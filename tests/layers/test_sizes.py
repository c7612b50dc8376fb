"""Legal sizes, and that the rule is right: what it allows is exact, what it refuses is not."""

import pytest
from torch.nn import functional as F

from hssl.errors import SizeError
from hssl.groups import Group, Product, Rotations, Scales, Translations
from hssl.layers import LiftingConv2d, SpatialStep, check_size, legal_sizes
from hssl.layers.sizes import first_breach, output_size, total_stride
from laws import moved, noise, randomize, shift_error, turning_errors

THREE = (SpatialStep("lift", 11, 1, 5), SpatialStep("conv2", 7, 2, 3), SpatialStep("conv3", 7, 2, 3))


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_the_rule_for_quarter_turns_is_right_in_both_directions(kernel_size: int, stride: int, padding: int) -> None:
    layer = LiftingConv2d(1, 2, kernel_size, 2, Rotations(), stride=stride, padding=padding).double()
    randomize(layer)
    step = layer.spatial_step("layer")
    for size in range(8, 14):
        errors = turning_errors(layer, noise(1, 1, size, size), [1, 2, 3])
        if first_breach([step], size, Rotations()) is None:
            assert max(errors) <= 1e-12
        else:
            assert min(errors) > 1e-2


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_the_rule_for_circular_shifts_is_right_in_both_directions(stride: int, padding: int) -> None:
    group = Translations(circular=True)
    layer = LiftingConv2d(1, 2, 5, 2, group, stride=stride, padding=padding).double()
    randomize(layer)
    for size in range(8, 14):
        error = shift_error(layer, noise(1, 1, size, size), (1, 0), stride)
        if first_breach([layer.spatial_step("layer")], size, group) is None:
            assert error <= 1e-12
        else:
            assert error > 1e-2


def test_a_step_counts_as_the_convolution_does() -> None:
    for kernel_size, stride, padding in ((7, 2, 3), (3, 1, 0), (5, 3, 1)):
        step = SpatialStep("layer", kernel_size, stride, padding)
        for size in range(7, 15):
            image, kernel = noise(1, 1, size, size), noise(1, 1, kernel_size, kernel_size)
            assert step.out(size) == F.conv2d(image, kernel, stride=stride, padding=padding).shape[-1]


@pytest.mark.parametrize("basis", ["sesn", "untruncated"])
def test_a_grown_kernel_is_told_as_it_is(basis: str) -> None:
    """Receptive fields are read off the steps: they must not be those of the nominal kernel."""
    layer = LiftingConv2d(1, 1, 7, 3, Rotations(), stride=2, padding=3, basis=basis)  # type: ignore[arg-type]
    step = layer.spatial_step("layer")
    assert step.kernel_size == layer.kernels().shape[-1]
    assert [step.out(size) for size in (9, 10, 25)] == [5, 5, 13]


def test_path_and_shortcut() -> None:
    steps = [
        SpatialStep("conv1", 7, 2, 3),
        SpatialStep("shortcut", 1, 2, 0, beside=True),
        SpatialStep("conv2", 7, 1, 3),
    ]
    assert output_size(steps, 9) == 5
    assert total_stride(steps) == 2
    assert output_size(THREE, 29) == output_size(THREE, 32) == 8
    assert total_stride(THREE) == 4
    # The shortcut reads what conv1 reads: 9 pixels, not the 5 that come out.
    lone = [SpatialStep("conv1", 3, 1, 1), SpatialStep("conv2", 7, 1, 0), SpatialStep("shortcut", 1, 3, 0, beside=True)]
    breach = first_breach(lone, 9, Rotations())
    assert breach is not None
    assert (breach[0].name, breach[1]) == ("shortcut", 9)


def test_the_error_names_the_layer_and_the_nearest_legal_sizes() -> None:
    with pytest.raises(SizeError) as caught:
        check_size(THREE, 28, Rotations(), "Network")
    for part in ("Network", "28 x 28", "Rotations(C4)", "layer conv2 sees 28", "25 or 29", "data.resolution"):
        assert part in str(caught.value)
    with pytest.raises(SizeError, match="layer conv3 sees 16 x 16"):
        check_size(THREE, 31, Rotations(), "Network")
    with pytest.raises(SizeError, match=r"stride 2 does not divide 15[\s\S]*28 or 32"):
        check_size(THREE, 30, Translations(circular=True), "Network")
    with pytest.raises(SizeError, match="does not fit 1 pixels"):
        check_size([SpatialStep("layer", 7, 1, 0)], 1, Scales((1.0,)), "Network")
    with pytest.raises(SizeError, match="maps 8 pixels to 6 steps"):
        check_size([SpatialStep("layer", 3, 1, 0)], 8, Translations(circular=True), "Network")


@pytest.mark.parametrize("group", [Scales((1.0, 2.0)), Translations()], ids=str)
def test_groups_without_exactness_at_stake_take_any_size(group: Group) -> None:
    for size in range(1, 40):
        check_size(THREE, size, group, "Network")


def test_legal_sizes() -> None:
    assert legal_sizes(THREE, Rotations(), 29) == [29, 33]
    assert legal_sizes(THREE, Rotations(), 28) == [25, 29]
    assert legal_sizes(THREE, Translations(circular=True), 29) == [28, 32]
    assert legal_sizes(THREE, Rotations(), 0) == [1]


def test_quarter_turns_and_circular_shifts_cannot_both_be_strided() -> None:
    """N must be odd for the one and even for the other; without a stride both hold at any size."""
    group = Product(Rotations(), Translations(circular=True))
    with pytest.raises(SizeError, match="none near"):
        check_size(THREE, 28, group, "Network")
    with pytest.raises(SizeError, match="layer conv2"):
        check_size(THREE, 29, group, "Network")
    for size in (8, 9):
        check_size([SpatialStep("layer", 7, 1, 3)], size, group, "Network")


def test_the_control_an_even_size_reads_off_centre() -> None:
    """The plain fact behind the rule: of 8 pixels a stride of 2 reads 0, 2, 4, 6, and turned about 7, 5, 3, 1."""
    row = noise(1, 1, 8, 8)
    assert not (moved(row[..., ::2, ::2], 2) == moved(row, 2)[..., ::2, ::2]).any()
    row = noise(1, 1, 9, 9)
    assert (moved(row[..., ::2, ::2], 2) == moved(row, 2)[..., ::2, ::2]).all()
