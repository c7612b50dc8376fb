"""The layers that are measured are those of the networks, and both sides compute the same."""

import math
from collections.abc import Callable

import pytest
import torch

from benchmarks.fake_results import ROWS
from hssl.benchmarks import layers
from hssl.benchmarks.layers import NETWORKS, cases, geometric_mean, group_of, measure
from hssl.benchmarks.timing import Turns, in_turns
from hssl.groups import RowLayout
from hssl.layers import GroupConv2d, LiftingConv2d, PointwiseConv2d, SteerableConv2d
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
    assert row["same_code"] is False
    if kind is GroupConv2d:
        values = torch.randn(2, case.layer.in_channels, case.streams, case.size, case.size)
        outs = []
        for plan in ("plain", "auto"):
            case.layer.plan = plan  # type: ignore[union-attr]
            outs.append(case.layer(values))
        assert error(*outs) <= 1e-5
        assert error(outs[0].roll(1, -1), outs[1]) > 1e-2


@pytest.mark.parametrize("kind", [LiftingConv2d, GroupConv2d])
def test_turned_rows_give_the_plain_features(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is timed for rotations: rows that are turned, of one stream, whose results are those of all streams."""
    case = next(
        case for case in cases(1 / 16)
        if isinstance(case.layer, kind) and case.transformation == "rotation" and case.network != "MNIST"
    )  # fmt: skip
    layer, group = case.layer, group_of("rotation")
    assert isinstance(layer, SteerableConv2d)
    timed: dict[str, list[torch.Tensor]] = {"plain": [], "turned": []}
    forward, rows = kind.forward, kind.rows
    monkeypatch.setattr(kind, "forward", lambda self, maps: timed["plain"].append(maps) or forward(self, maps))

    def spied(self: SteerableConv2d, maps: torch.Tensor, layout: RowLayout, rectify: bool = False) -> torch.Tensor:
        timed["turned"].append(maps)
        assert layout.counts == (len(maps),)
        return rows(self, maps, layout, rectify)

    monkeypatch.setattr(kind, "rows", spied)
    measure(case, 1, CPU)
    plain, turned = timed["plain"][0], timed["turned"][0]
    assert len(turned) == len(plain) * group.streams
    streams = range(group.streams)
    if kind is LiftingConv2d:
        expected = [group.move_maps(plain, group.inverse(element)) for element in streams]
        assert torch.equal(turned, torch.cat(expected))
    else:
        assert not turned.requires_grad or turned.is_contiguous(memory_format=torch.channels_last)
        plain = turned.unflatten(0, (group.streams, -1))
        plain = torch.stack([group.move_maps(plain[element], element) for element in streams], dim=2)
    layer.plan = "auto"
    out = rows(layer, turned, RowLayout((len(turned),))).unflatten(0, (group.streams, -1))
    layer.plan = "plain"
    whole = forward(layer, plain)
    for element in streams:
        assert error(group.move_maps(out[element], element), whole[:, :, element]) <= 1e-5
        assert error(out[element], whole[:, :, (element + 1) % 4]) > 1e-2


def test_the_mean_counts_each_layer_as_often_as_its_network_has_it() -> None:
    assert geometric_mean(ROWS["layers"]) == pytest.approx((1 * 8 * 8) ** (1 / 3))


@pytest.mark.parametrize("transformation", ["translation", "rotation", "scale"])
@pytest.mark.parametrize("kind", [LiftingConv2d, GroupConv2d])
def test_each_side_is_timed_under_its_own_plan(
    kind: type, transformation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(c for c in cases(1 / 16) if isinstance(c.layer, kind) and c.transformation == transformation)
    seen: dict[str, set[str]] = {}

    def watched(contestants: dict[str, Callable[[], None]], *_: object) -> Turns:
        for name, work in contestants.items():
            work()
            seen[name] = {getattr(case.layer, "plan", "")}
        return in_turns(contestants, 1, CPU)

    monkeypatch.setattr(layers, "in_turns", watched)
    measure(case, 1, CPU)
    assert seen == {"plain": {"plain"}, "planned": {"auto"}}
