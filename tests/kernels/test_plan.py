"""Which plan is chosen: by the cost model, by measuring, by name."""

import dataclasses

import pytest
import torch
from torch import Tensor

from hssl.groups import Scales, Translations
from hssl.kernels import plan as planning
from hssl.kernels.plan import (
    CPU_RATES,
    CPU_RATES_OF_TORCH,
    GPU_RATES,
    ConvolutionShape,
    Rates,
    cheapest,
    fastest,
    seconds,
)
from hssl.layers import PLAN_CHOICES, PLANS, GroupConv2d, Plan, PlanChoice
from laws import PAPER_SCALES, error, noise, outcome, plan_error, randomize

WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


def shape(channels: int, support: int = 5, size: int = 13, stride: int = 1, rows: int = 12) -> ConvolutionShape:
    """A k 7, e 3 layer as the networks have them."""
    out = (size + 6 - 7) // stride + 1
    return ConvolutionShape(channels, channels, 7, 3, stride, support, (size, size), (out, out), 3, rows)


# -- the cost model ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rates", [CPU_RATES, CPU_RATES_OF_TORCH, GPU_RATES])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [7, 13, 28])
def test_few_channels_are_dense_and_many_separable(size: int, stride: int, rates: Rates) -> None:
    """Filtering costs by channel and a dense convolution by pair of channels: there is one width where they meet."""
    for support, dense in ((5, "cropped"), (7, "direct")):
        chosen = [cheapest(shape(channels, support, size, stride), rates, PLANS[:3]) for channels in WIDTHS]
        assert chosen[:3] == [dense] * 3
        assert chosen[-2:] == ["separable"] * 2
        assert chosen == sorted(chosen, key=("separable",).count), "once separable, always separable"


@pytest.mark.parametrize("size", [13, 28])
def test_products_in_the_fourier_domain_pay_without_strides_where_rows_share_their_weights(size: int) -> None:
    def chosen(**settings: int) -> set[Plan]:
        return {cheapest(shape(channels, 7, size, **settings), CPU_RATES) for channels in (64, 128, 256)}

    assert chosen(rows=12) == chosen(rows=1000) == {"fourier"}
    # A stride drops pixels of which a transform needs all, and what a frequency needs is not shared by one small map.
    assert chosen(rows=12, stride=2) == {"separable"}
    assert cheapest(shape(256, 7, 7, rows=1), CPU_RATES) == "separable"
    # Few channels cannot pay for any transform.
    assert cheapest(shape(2, 7, size, rows=1000), CPU_RATES) == "direct"


def test_the_first_layer_of_the_papers_networks_is_dense() -> None:
    """11 functions an axis of 11 points: filtering first saves nothing."""
    for support, dense in ((7, "cropped"), (11, "direct")):
        lift = ConvolutionShape(1, 32, 11, 11, 1, support, (28, 28), (28, 28), 5, 100)
        assert cheapest(lift, CPU_RATES) == cheapest(lift, GPU_RATES) == dense


@pytest.mark.parametrize("rates", [CPU_RATES, CPU_RATES_OF_TORCH, GPU_RATES])
@pytest.mark.parametrize("plan", PLANS)
def test_more_of_anything_costs_more(plan: Plan, rates: planning.Rates) -> None:
    base = shape(16)
    cost = seconds(plan, base, rates)
    assert cost > 0
    larger = [
        dataclasses.replace(base, in_channels=17),
        dataclasses.replace(base, out_channels=17),
        dataclasses.replace(base, in_size=(15, 15), out_size=(15, 15)),
    ]
    assert all(seconds(plan, other, rates) > cost for other in larger)
    assert seconds(plan, shape(16, stride=2), rates) < cost


def test_what_each_plan_pays_for() -> None:
    base = shape(16)

    def change(plan: Plan, **changes: int) -> float:
        return seconds(plan, dataclasses.replace(base, **changes), CPU_RATES) / seconds(plan, base, CPU_RATES)

    # (direct, cropped, separable, fourier) of a larger support, a larger effective size, a larger kernel.
    assert [change(plan, support=7) > 1 for plan in PLANS] == [False, True, False, True]
    assert [change(plan, effective_size=5) > 1 for plan in PLANS] == [False, False, True, True]
    assert [change(plan, kernel_size=9) > 1 for plan in PLANS] == [True, False, False, False]
    assert [change(plan, rows=24) < 1 for plan in PLANS] == [False, False, False, True]
    assert change("cropped", support=7) == pytest.approx(49 / 25)


def test_equal_costs_go_to_the_earlier_plan_and_impossible_ones_to_none() -> None:
    whole = shape(1, support=7)
    assert seconds("direct", whole, CPU_RATES) == seconds("cropped", whole, CPU_RATES)
    assert cheapest(whole, CPU_RATES) == "direct"
    assert cheapest(whole, CPU_RATES, ("cropped", "direct")) == "cropped"
    assert cheapest(shape(512), CPU_RATES) == "fourier"
    assert cheapest(shape(512), CPU_RATES, PLANS[:3]) == "separable"
    assert cheapest(shape(512), CPU_RATES, PLANS[:2]) == "cropped"


# -- measuring ---------------------------------------------------------------------------------------------------------


class Bench:
    """A clock that only trials move, and what was tried on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.costs: dict[Plan, list[float]] = {"direct": [3.0], "cropped": [2.0], "separable": [5.0], "fourier": [4.0]}
        self.tried: list[Plan] = []
        self.backward = 0
        monkeypatch.setattr(planning.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(planning, "_fastest", {})

    def run(self, plan: Plan) -> Tensor:
        self.tried.append(plan)
        costs = self.costs[plan]
        self.now += costs[min(self.tried.count(plan), len(costs)) - 1]
        weight = torch.ones(2, requires_grad=True)
        weight.register_hook(lambda _: setattr(self, "backward", self.backward + 1))
        return weight * 2


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def test_the_fastest_is_kept_and_remembered_by_its_key(bench: Bench) -> None:
    assert fastest(("a",), bench.run, PLANS, repeats=2) == "cropped"
    # In turns, forward and backward.
    assert bench.tried == [*PLANS, *PLANS]
    assert bench.backward == 2 * len(PLANS)
    bench.costs["cropped"] = [100.0]
    assert fastest(("a",), bench.run, PLANS) == "cropped"
    assert len(bench.tried) == 2 * len(PLANS)
    assert fastest(("b",), bench.run, PLANS) == "direct"
    assert fastest(("c",), bench.run, ("separable",)) == "separable"


def test_one_slow_trial_decides_nothing(bench: Bench) -> None:
    """The first may build what others find built, and any may be disturbed: the best of several counts."""
    bench.costs["cropped"] = [50.0, 2.0, 50.0]
    assert fastest((), bench.run, PLANS) == "cropped"


def test_equal_times_go_to_the_earlier_plan(bench: Bench) -> None:
    bench.costs["direct"] = bench.costs["separable"] = [2.0]
    assert fastest((), bench.run, PLANS) == "direct"


def test_trials_run_where_gradients_are_off(bench: Bench) -> None:
    with torch.no_grad():
        assert fastest((), bench.run, PLANS) == "cropped"
    assert bench.backward == 3 * len(PLANS)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The keys that layers ask for, each answered by a real trial."""
    keys: list[tuple[object, ...]] = []
    measure = planning.fastest

    def watch(key: tuple[object, ...], *rest: object) -> Plan:
        keys.append(key)
        return measure(key, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(planning, "_fastest", {})
    monkeypatch.setattr("hssl.kernels.convolution.fastest", watch)
    return keys


def layer_of(plan: PlanChoice, stride: int = 1) -> GroupConv2d:
    layer = GroupConv2d(3, 2, 7, 3, Scales(PAPER_SCALES), stride, padding=3, bias=True).double()
    randomize(layer)
    layer.plan = plan
    return layer


def test_a_measured_layer_gives_the_same_numbers(asked: list[tuple[object, ...]]) -> None:
    layer, values = layer_of("measured"), noise(2, 3, 6, 9, 9)
    layer(values)
    assert all(parameter.grad is None for parameter in layer.parameters()), "a trial left its gradient"
    assert plan_error(layer, values, "measured") <= 1e-12
    # Streams of one support share a trial; whether the input takes a gradient makes another.
    assert len(set(asked)) == 4


def test_what_decides_a_trial_is_in_its_key(asked: list[tuple[object, ...]]) -> None:
    layer = layer_of("measured")
    layer(noise(2, 3, 6, 9, 9))
    first = set(asked)
    other_stride = layer_of("measured", 2)
    for again in (
        lambda: layer(noise(5, 3, 6, 9, 9)),
        lambda: layer(noise(2, 3, 6, 9, 11)),
        lambda: other_stride(noise(2, 3, 6, 9, 9)),
        lambda: layer.float()(noise(2, 3, 6, 9, 9, dtype=torch.float32)),
    ):
        asked.clear()
        again()
        assert asked
        assert not first & set(asked)
    layer.double()
    asked.clear()
    layer(noise(2, 3, 6, 9, 9, seed=1))
    assert set(asked) == first


def test_counts_that_hardly_differ_share_a_trial(asked: list[tuple[object, ...]]) -> None:
    layer = layer_of("measured")
    for batch in (9, 12, 16):
        layer(noise(batch, 3, 6, 9, 9))
    few = set(asked)
    layer(noise(17, 3, 6, 9, 9))
    assert len(few) == 2, "supports of 5 and of 7 points"
    assert len(set(asked)) == 4


@pytest.mark.parametrize("plan", PLANS)
def test_what_was_measured_is_what_runs(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hssl.kernels.convolution.fastest", lambda *_: plan)
    layer, values = layer_of("auto"), noise(2, 3, 6, 9, 9)
    measured, named = outcome(layer, values, "measured"), outcome(layer, values, plan)
    assert all(torch.equal(measured[name], named[name]) for name in named)


def test_where_a_trial_cannot_run_the_cost_model_decides(asked: list[tuple[object, ...]]) -> None:
    """Inference mode keeps nothing for a backward pass; no rows give nothing to measure."""
    layer, values = layer_of("measured"), noise(2, 3, 6, 9, 9)
    with torch.inference_mode():
        out = layer(values).clone()
    layer(values[:0])
    assert asked == []
    assert error(out, layer(values)) <= 1e-12
    assert asked


def test_a_plan_by_name_is_never_measured(asked: list[tuple[object, ...]]) -> None:
    for plan in PLAN_CHOICES:
        if plan != "measured":
            layer_of(plan)(noise(1, 3, 6, 9, 9))
    assert asked == []


def test_the_chosen_plan_is_the_cost_models(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[ConvolutionShape] = []

    def watch(of: ConvolutionShape, *rest: object) -> Plan:
        seen.append(of)
        return cheapest(of, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("hssl.kernels.convolution.cheapest", watch)
    layer_of("auto", 2)(noise(1, 3, 6, 9, 11))
    assert [one.support for one in seen] == [5, 5, 5, 7, 7, 7]
    assert {(one.in_size, one.out_size, one.padding) for one in seen} == {((9, 11), (5, 6), 3)}
    assert {one.rows for one in seen} == {1}
    seen.clear()
    torus = GroupConv2d(3, 2, 7, 3, Translations(circular=True), padding=3)
    torus(noise(1, 3, 1, 9, 9, dtype=torch.float32))
    # Padded before the convolution.
    assert [(one.in_size, one.out_size, one.padding) for one in seen] == [((15, 15), (9, 9), 0)]
