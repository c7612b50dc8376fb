"""The layers that are measured are those of the networks, and both sides compute the same."""

import math

import pytest
import torch

from benchmarks.fake_results import ROWS
from hssl.benchmarks.layers import NETWORKS, cases, geometric_mean, group_of, measure, measure_folded
from hssl.layers import GroupConv2d, LiftingConv2d, PointwiseConv2d, SteerableConv2d
from hssl.layers.native import compiled_filters_exist
from laws import error

CPU = torch.device("cpu")


def test_every_layer_of_every_network_is_there_once() -> None:
    found = list(cases(width=1 / 32))
    for network, (kind, channels, resolutions) in NETWORKS.items():
        for transformation, resolution in resolutions.items():
            backbone = kind(group_of(transformation), in_channels=channels, resolution=resolution, width=1 / 32)
            names = [
                name for name, part in backbone.named_modules() if isinstance(part, SteerableConv2d | PointwiseConv2d)
            ]
            here = [case for case in found if (case.network, case.transformation) == (network, transformation)]
            assert sorted(name for case in here for name in case.names) == sorted(names)
            for case in here:
                assert {repr(backbone.get_submodule(name)) for name in case.names} == {repr(case.layer)}


def test_sizes_are_those_that_the_network_hands_over() -> None:
    case = next(case for case in cases(1 / 32) if case.transformation == "scale" and "blocks.6.conv1" in case.names)
    assert (case.network, case.size, case.out_size) == ("CIFAR-10", 14, 7)
    assert case.dense_multiplications == 6 * 8 * 16 * 49 * 49
    lift = next(case for case in cases() if case.network == "MNIST" and "lift" in case.names)
    assert (lift.size, lift.dense_multiplications) == (32, 32 * 121 * 1024)


@pytest.mark.parametrize("kind", [LiftingConv2d, GroupConv2d, PointwiseConv2d])
@pytest.mark.parametrize("transformation", ["rotation", "scale"])
def test_a_measurement_compares_equal_things(kind: type, transformation: str) -> None:
    case = next(
        case for case in cases(1 / 16) if isinstance(case.layer, kind) and case.transformation == transformation
        and case.network != "MNIST"
    )  # fmt: skip
    row = measure(case, 1, CPU)
    assert row["plain_seconds"] > 0
    assert row["planned_seconds"] > 0
    assert row["speedup"]["median"] == pytest.approx(row["plain_seconds"] / row["planned_seconds"], rel=1e-3)
    assert math.isfinite(row["dense_gflop"] / row["megabytes"])
    # Without a compiler turned filters are lifted by the plain formulation.
    turned = kind is LiftingConv2d and transformation == "rotation"
    assert row["same_code"] == (turned and not compiled_filters_exist(torch.zeros(0)))
    if kind is GroupConv2d:
        values = torch.randn(2, case.layer.in_channels, case.streams, case.size, case.size)
        outs = []
        for plan in ("plain", "auto"):
            case.layer.plan = plan  # type: ignore[union-attr]
            outs.append(case.layer(values))
        assert error(*outs) <= 1e-5
        assert error(outs[0].roll(1, -1), outs[1]) > 1e-2


def test_a_folded_lifting_is_measured_against_the_plain_one() -> None:
    case = next(case for case in cases(1 / 16) if case.transformation == "rotation" and case.names == ("lift",))
    row = measure_folded(case, 1, CPU)
    assert row["layers"] == ["lift, folded"]
    assert row["speedup"]["median"] == pytest.approx(row["plain_seconds"] / row["planned_seconds"], rel=1e-3)


def test_the_mean_counts_each_layer_as_often_as_its_network_has_it() -> None:
    assert geometric_mean(ROWS["layers"]) == pytest.approx((1 * 8 * 8) ** (1 / 3))
