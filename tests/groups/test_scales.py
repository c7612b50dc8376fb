"""Magnifications: an open set, and the resampling that goes with it."""

import math
from collections.abc import Callable

import pytest
import torch

from hssl.errors import GroupError
from hssl.groups import Augmentation, Exactness, Scales
from hssl.groups.scales import magnify
from laws import PAPER_SCALES, noise


def by(factor: float, count: int = 1) -> torch.Tensor:
    return torch.full((count,), factor, dtype=torch.float64)


def checkerboard(size: int) -> torch.Tensor:
    grid = torch.arange(size)
    return (((grid[:, None] + grid[None]) % 2) * 2.0 - 1.0).double()[None, None]


@pytest.mark.parametrize("size", [8, 9])
def test_factor_one_changes_nothing(size: int) -> None:
    images = noise(2, 3, size, size + 2)
    assert (magnify(images, by(1.0, 2)) - images).abs().max() <= 1e-12


@pytest.mark.parametrize("factor", [0.5, 0.57, 0.8, 1.25, 1.75, 3.0])
@pytest.mark.parametrize("size", [24, 25])
def test_a_constant_stays_constant_inside(factor: float, size: int) -> None:
    after = magnify(torch.ones(1, 1, size, size, dtype=torch.float64), by(factor))[0, 0]
    distance = (torch.arange(size) - (size - 1) / 2).abs()
    inside = distance <= min(size / 2, size / 2 * factor - 1.5)
    assert inside.sum() > 4
    assert (after[inside][:, inside] - 1).abs().max() <= 1e-12


@pytest.mark.parametrize("factor", [0.57, 0.8])
def test_outside_the_shrunken_image_there_is_nothing(factor: float) -> None:
    size = 25
    after = magnify(torch.ones(1, 1, size, size, dtype=torch.float64), by(factor))[0, 0]
    outside = (torch.arange(size) - (size - 1) / 2).abs() >= size / 2 * factor + 1.5
    assert outside.sum() >= 2
    assert not after[outside].any()
    assert not after[:, outside].any()


@pytest.mark.parametrize("size", [2, 3, 9])
@pytest.mark.parametrize("factor", [0.3, 0.57, 0.8, 1.6])
def test_outside_there_are_zeros_and_no_second_border(factor: float, size: int) -> None:
    """Writing the zeros out around the image changes nothing: weights are not made up for at the border."""
    image = noise(1, 1, size, size)
    wide = magnify(torch.nn.functional.pad(image, (20,) * 4), by(factor))
    assert (magnify(image, by(factor)) - wide[..., 20:-20, 20:-20]).abs().max() <= 1e-12


@pytest.mark.parametrize("factor", [0.57, 0.75, 1.25, 1.6])
def test_mass_grows_with_the_area(factor: float) -> None:
    grid = torch.arange(41, dtype=torch.float64) - 20
    blob = torch.exp(-(grid[:, None] ** 2 + grid[None] ** 2) / (2 * 3.5**2))[None, None]
    after = magnify(blob, by(factor))
    assert after.sum().item() == pytest.approx(factor**2 * blob.sum().item(), rel=5e-3)
    # The blob stays in the middle.
    assert ((after * grid).sum().abs() / after.sum()).item() < 1e-9
    assert ((after * grid[:, None]).sum().abs() / after.sum()).item() < 1e-9


def test_magnifying_reads_nearer_the_centre() -> None:
    """(T_s x)(u) = x(u / s), with u counted from the centre."""
    grid = torch.arange(21, dtype=torch.float64) - 10
    ramp = grid.expand(1, 1, 21, 21)
    after = magnify(ramp, by(2.0))[0, 0, 5]
    torch.testing.assert_close(after, grid / 2, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [31, 32])
def test_shrinking_does_not_alias(size: int) -> None:
    inside = slice(size // 4 + 3, size - size // 4 - 3)
    assert magnify(checkerboard(size), by(0.5))[..., inside, inside].abs().max() <= 1e-12


def test_shrinking_without_a_filter_does_alias() -> None:
    """The control: bilinear interpolation reads every other pixel, and the finest pattern comes out as a constant."""
    size = 31
    transform = torch.tensor([[[2.0, 0, 0], [0, 2.0, 0]]], dtype=torch.float64)
    grid = torch.nn.functional.affine_grid(transform, [1, 1, size, size], align_corners=True)
    naive = torch.nn.functional.grid_sample(checkerboard(size), grid, align_corners=True)
    assert naive[..., 10:21, 10:21].abs().min() > 0.9


def test_a_batch_of_factors_equals_one_by_one() -> None:
    images = noise(4, 2, 11, 12)
    factors = torch.tensor([0.57, 0.8, 1.0, 1.6], dtype=torch.float64)
    together = magnify(images, factors)
    for index in range(4):
        alone = magnify(images[index : index + 1], factors[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=1e-14)
        assert index == 2 or (alone - images[index]).abs().max() > 0.1


def test_resampling_has_its_gradient() -> None:
    images = noise(2, 1, 6, 6).requires_grad_()
    factors = torch.tensor([0.7, 1.3], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: magnify(x, factors), (images,))


def test_single_precision_is_kept() -> None:
    images = noise(1, 1, 9, 9, dtype=torch.float32)
    after = magnify(images, by(0.7))
    assert after.dtype == torch.float32
    torch.testing.assert_close(after.double(), magnify(images.double(), by(0.7)), rtol=0, atol=1e-6)


def test_trap_4_pairs_are_described_by_their_factor() -> None:
    """The factors need not be geometric: moving the index on by one is no magnification by one factor."""
    scales = Scales((1.0, 1.25, 1.5))
    assert scales.factor(0, 1) == pytest.approx(1.25)
    assert scales.factor(1, 2) == pytest.approx(1.2)
    assert scales.factor(2, 0) == pytest.approx(1 / 1.5)
    two = Scales((1.0, 1.33))
    assert two.factor(0, 1) == pytest.approx(1.33)
    asked: list[Callable[[], object]] = [
        lambda: scales.compose(1, 1),
        lambda: two.compose(1, 1),
        lambda: scales.inverse(1),
        lambda: scales.act(1, torch.tensor([0])),
        lambda: scales.transform_features(noise(1, 1, 3), 1),
    ]
    for ask in asked:
        with pytest.raises(GroupError, match=r"not closed\n.*scales.factor\(i, j\)"):
            ask()


def test_placements_are_those_that_fit() -> None:
    assert Scales((1, 2, 3)).placements((2,)).tolist() == [[0, 1], [1, 2]]


def test_distances() -> None:
    scales = Scales((1.0, 2.0, 4.0))
    assert scales.distances("euclidean")[0].tolist() == [0, 1, 9]
    logarithms = torch.tensor([0, math.log(2), math.log(4)], dtype=torch.float64)
    torch.testing.assert_close(scales.distances()[0], logarithms, rtol=0, atol=1e-15)


def test_images_are_transformed_by_the_element() -> None:
    scales, images = Scales(PAPER_SCALES), noise(2, 1, 9, 9)
    assert torch.equal(scales.transform(images, 3), magnify(images, by(1.5, 2)))
    assert scales.exactness is Exactness.APPROXIMATE
    assert scales.filter_scales == PAPER_SCALES


def test_drawn_factors() -> None:
    scales, generator = Scales(PAPER_SCALES), torch.Generator().manual_seed(0)
    continuous = scales.draw(500, 32, Augmentation(smallest_scale=0.57), generator)
    assert 0.57 <= continuous.min() < 0.6
    assert 0.97 < continuous.max() <= 1
    discrete = scales.draw(500, 32, Augmentation(scale_draw="discrete"), generator)
    assert sorted(set(discrete.flatten().tolist())) == sorted(1 / factor for factor in PAPER_SCALES)


def test_close_factors_are_not_the_same_group() -> None:
    assert Scales((1.0, 4 / 3)) != Scales((1.0, 1.333333))
    assert repr(Scales(PAPER_SCALES)) == "Scales(1, 1.25, 1.33, 1.5, 1.66, 1.75)"


@pytest.mark.parametrize(
    "factors", [(), (0.0, 1.0), (-1.0,), (1.0, 1.0), (2.0, 1.0), (1.0, math.inf), (math.nan,), (1.0, math.nan)]
)
def test_bad_factors_are_refused(factors: tuple[float, ...]) -> None:
    with pytest.raises(GroupError, match="increasing positive factors"):
        Scales(factors)


def test_identity_is_factor_one_wherever_it_stands() -> None:
    assert Scales((0.5, 1.0)).identity == 1
    with pytest.raises(GroupError, match="does not hold the factor 1"):
        _ = Scales((2.0, 3.0)).identity
