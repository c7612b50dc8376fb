"""The residual networks: stated shapes, the block and its skip."""

import math
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

from hssl.backbones import CIFAR10ResNet20, ResNet20, TinyImageNetResNet20, randomize_statistics
from hssl.backbones.resnet20 import block_of
from hssl.errors import ConfigurationError
from hssl.groups import Group, GroupFeatures, Rotations, RowLayout, Scales, Translations
from hssl.layers import PLAN_CHOICES, GroupConv2d, LiftingConv2d, PlanChoice, PointwiseConv2d
from laws import PAPER_SCALES, TURNING, error, noise, turning_errors
from waiting import HANG_SECONDS

PLAIN = RowLayout((3,) * 6, interleaved=True)


@pytest.mark.parametrize(
    ("kind", "group", "resolution", "shape"),
    [
        (CIFAR10ResNet20, Rotations(), 25, (512, 4, 7, 7)),
        (CIFAR10ResNet20, Scales(PAPER_SCALES), 25, (512, 6, 7, 7)),
        (CIFAR10ResNet20, Scales(PAPER_SCALES), 28, (512, 6, 7, 7)),
        (CIFAR10ResNet20, Translations(), 28, (512, 7, 7)),
        (TinyImageNetResNet20, Rotations(), 25, (512, 4, 4, 4)),
        (TinyImageNetResNet20, Scales(PAPER_SCALES), 25, (512, 6, 4, 4)),
        (TinyImageNetResNet20, Scales(PAPER_SCALES), 32, (512, 6, 4, 4)),
        (TinyImageNetResNet20, Translations(), 32, (512, 4, 4)),
    ],
    ids=str,
)
def test_full_width_has_the_papers_shape(
    kind: type[CIFAR10ResNet20], group: Group, resolution: int, shape: tuple[int, ...]
) -> None:
    with torch.device("meta"):
        network = kind(group, resolution=resolution)
        features = network(torch.empty(2, 3, resolution, resolution))
    assert features.values.shape == (2, *shape)
    assert network.channels == 512
    assert network.total_stride == (4 if kind is CIFAR10ResNet20 else 8)


@pytest.mark.parametrize(
    ("kind", "widths", "blocks"),
    [(CIFAR10ResNet20, (128, 256, 512), 3), (TinyImageNetResNet20, (64, 128, 256, 512), 2)],
)
@pytest.mark.parametrize(("full", "extent"), [(False, 1), (True, 4)])
def test_parameter_count(
    kind: type[CIFAR10ResNet20], widths: tuple[int, ...], blocks: int, full: bool, extent: int
) -> None:
    expected = 9 * 3 * 7**2 + 64 * 9 * 9 * extent + 2 * 64
    before, stages = 64, len(widths)
    for stage, width in enumerate(widths):
        for index in range(blocks):
            expected += (before + width) * width * 9 * extent + 2 * (before + width)
            strided = index == 0 and stage > 0
            expected += before * width if strided or before != width else 0
            before = width
    with torch.device("meta"):
        network = kind(Rotations(), full_extent=full)
    assert sum(parameter.numel() for parameter in network.parameters()) == expected
    assert len(network.blocks) == stages * blocks
    if not full:
        assert expected == (17_219_691 if kind is CIFAR10ResNet20 else 11_170_923)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(("channels", "stride"), [((2, 2), 1), ((2, 2), 2), ((2, 3), 1), ((2, 3), 2)])
@pytest.mark.parametrize("plan", ["plain", "auto"])
@pytest.mark.parametrize("name", TURNING)
def test_the_block_is_exact(name: str, plan: PlanChoice, channels: tuple[int, int], stride: int, full: bool) -> None:
    group = TURNING[name]()
    torch.manual_seed(0)
    block = block_of(*channels, group, stride, extent=group.order if full else 1).double()
    block.conv1.plan = block.conv2.plan = plan
    randomize_statistics(block, torch.Generator().manual_seed(0))
    values = noise(2, 2, group.order, 9, 9)
    for mode in (True, False):
        assert max(turning_errors(block.train(mode), values, range(group.order), lifted=True)) <= 1e-12


def test_trap_7_a_stride_at_equal_width_has_a_skip_of_its_own() -> None:
    block = block_of(4, 4, Rotations(), stride=2)
    assert block.shortcut is not None
    out = block(noise(2, 4, 4, 9, 9, dtype=torch.float32))
    assert out.shape == (2, 4, 4, 5, 5)
    assert block_of(4, 4, Rotations()).shortcut is None
    assert block_of(4, 6, Rotations()).shortcut is not None


@pytest.mark.parametrize(("out_channels", "stride"), [(2, 1), (3, 2)])
def test_the_block_is_the_formula(out_channels: int, stride: int) -> None:
    """a = ReLU(BN(x)); out = conv2(ReLU(BN(conv1(a)))) + (x, or the pointwise convolution of a)."""
    block = block_of(2, out_channels, Rotations(), stride).double()
    x = noise(2, 2, 4, 9, 9)

    def norm(values: torch.Tensor) -> torch.Tensor:
        variance, mean = torch.var_mean(values, dim=(0, 2, 3, 4), keepdim=True, correction=0)
        return F.relu((values - mean) / (variance + 1e-5).sqrt())

    a = norm(x)
    skip = x if block.shortcut is None else block.shortcut(a)
    assert error(block(x), block.conv2(norm(block.conv1(a))) + skip) <= 1e-12


@pytest.mark.parametrize("plan", PLAN_CHOICES)
@pytest.mark.parametrize(("out_channels", "stride"), [(2, 1), (3, 1), (3, 2)])
def test_the_block_on_rows_is_the_block_on_features(out_channels: int, stride: int, plan: PlanChoice) -> None:
    """Stream after stream, or image after image in the plain formulation."""
    torch.manual_seed(0)
    block = block_of(2, out_channels, Scales(PAPER_SCALES), stride).double()
    randomize_statistics(block, torch.Generator().manual_seed(0))
    block.conv1.plan = block.conv2.plan = plan
    x = noise(3, 2, 6, 9, 9)
    for mode in (True, False):
        expected = block.train(mode)(x)
        # ReLU works in place where it may: neither what is given nor what is kept for the gradient is touched.
        rows = x.permute(2, 0, 1, 3, 4).flatten(0, 1).requires_grad_()
        given = rows.detach().clone()
        if plan == "plain":
            interleaved = rows.reshape(6, 3, *rows.shape[1:]).transpose(0, 1).flatten(0, 1)
            out = block(GroupFeatures.of_rows(interleaved, Scales(PAPER_SCALES), PLAIN)).values
        else:
            out = block(GroupFeatures.of_rows(rows, Scales(PAPER_SCALES), RowLayout((3,) * 6))).values
        assert error(out, expected) <= 1e-12
        weights = noise(*out.shape, seed=1)
        of_rows = torch.autograd.grad((out * weights).sum(), (rows, block.conv1.weight, block.norm1.bias))
        values = x.detach().requires_grad_()
        of_values = torch.autograd.grad((block(values) * weights).sum(), (values, block.conv1.weight, block.norm1.bias))
        assert error(of_rows[0].reshape(6, 3, 2, 9, 9).permute(1, 2, 0, 3, 4), of_values[0]) <= 1e-11
        assert all(error(one, other) <= 1e-11 for one, other in zip(of_rows[1:], of_values[1:], strict=True))
        assert torch.equal(rows, given)


def test_weights_begin_as_normal_numbers_by_fan_out() -> None:
    """N(0, 2 / n), n = O e^2; pointwise n = O."""
    torch.manual_seed(0)
    network = TinyImageNetResNet20(Rotations(), width=1 / 4)
    checked = 0
    for part in network.modules():
        if isinstance(part, LiftingConv2d | GroupConv2d):
            expected = math.sqrt(2 / (part.out_channels * part.effective_size**2))
        elif isinstance(part, PointwiseConv2d):
            expected = math.sqrt(2 / part.out_channels)
        else:
            continue
        spread = 4 / math.sqrt(2 * part.weight.numel())
        assert part.weight.std().item() == pytest.approx(expected, rel=spread)
        checked += 1
    assert checked == 2 + 16 + 3


def test_the_output_is_not_normalised() -> None:
    torch.manual_seed(0)
    network = CIFAR10ResNet20(Rotations(), resolution=9, width=1 / 32).double()
    values = network(noise(2, 3, 9, 9)).values
    assert values.min() < -0.1
    assert values.max() > 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"widths": (8, 8)}, "as many widths as strides"),
        ({"widths": (), "strides": ()}, "as many widths as strides"),
        ({"strides": (0,)}, "all at least 1"),
        ({"widths": (0,)}, "all at least 1"),
        ({"blocks": 0}, "all at least 1"),
    ],
)
def test_bad_stages_are_refused(settings: dict[str, object], message: str) -> None:
    good = {"widths": (8,), "strides": (1,), "blocks": 1, "resolution": 8}
    with pytest.raises(ConfigurationError, match=message):
        ResNet20(Rotations(), **{**good, **settings})  # type: ignore[arg-type]


def test_training_on_large_maps_of_few_channels_leaves_memory_whole() -> None:
    """A process of its own: where a gradient writes beside its memory, the process dies."""
    code = """
import torch
from hssl.paper.recipes import recipe
from hssl.training.build import build_backbone
torch.manual_seed(0)
network = build_backbone(recipe("folder-translation-hssl", "smoke"), 3)
images = torch.randn(32, 3, 64, 64)
for _ in range(6):
    network(images).values.square().mean().backward()
print("whole")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr
