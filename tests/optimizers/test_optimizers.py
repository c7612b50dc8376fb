"""LARS against its slow twin and by hand, the split into groups, and the schedule's exact endpoints."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hssl.config import Config, override
from hssl.errors import ConfigurationError
from hssl.optimizers import LARS, build_optimizer, parameter_groups, warmup_cosine, warmup_cosine_schedule


class SlowLARS:
    """The update of the docstring, one tensor at a time, in Python numbers where it can."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        self.groups = groups
        self.velocities: dict[Tensor, Tensor] = {}

    @torch.no_grad()
    def step(self) -> None:
        for group in self.groups:
            for w in group["params"]:
                if w.grad is None:
                    continue
                d = w.grad + group["weight_decay"] * w
                w_norm, d_norm = math.sqrt((w * w).sum().item()), math.sqrt((d * d).sum().item())
                r = group["trust_coefficient"] * w_norm / d_norm if group["adapt"] and w_norm * d_norm > 0 else 1.0
                v = group["momentum"] * self.velocities.get(w, torch.zeros_like(w)) + group["lr"] * r * d
                self.velocities[w] = v
                w.copy_(w - v)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    # ReLU before the norms: a bias right before one has no gradient.
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.BatchNorm2d(3),
        nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 2),
    ).double()  # fmt: skip


def backward(module: nn.Module, seed: int) -> None:
    images = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    module.zero_grad()
    module(images).square().sum().backward()


def assert_same_parameters(left: nn.Module, right: nn.Module, atol: float = 0.0) -> None:
    torch.testing.assert_close(list(left.parameters()), list(right.parameters()), rtol=0, atol=atol)


def test_equals_the_slow_twin_while_the_rate_changes() -> None:
    module, twin = network(), network()
    start = network()
    fast = LARS(parameter_groups(module, 1e-2), 0.3, momentum=0.9, trust_coefficient=0.02)
    shared = {"momentum": 0.9, "trust_coefficient": 0.02}
    slow = SlowLARS([group | shared for group in parameter_groups(twin, 1e-2)])
    for step, lr in enumerate((0.3, 0.5, 0.1, 0.0)):
        for group in (*fast.param_groups, *slow.groups):
            group["lr"] = lr
        backward(module, step)
        backward(twin, step)
        fast.step()
        slow.step()
    assert_same_parameters(module, twin, atol=1e-12)
    moved = [(a - b).abs().max().item() for a, b in zip(module.parameters(), start.parameters(), strict=True)]
    assert min(moved) > 1e-6


def test_two_steps_by_hand() -> None:
    w = nn.Parameter(torch.tensor([3.0, 4.0], dtype=torch.float64))  # |w| = 5
    optimizer = LARS([w], 2.0, momentum=0.5, weight_decay=1.0, trust_coefficient=0.1)
    w.grad = torch.tensor([-3.0, -14.0], dtype=torch.float64)  # d = (0, -10), r = 0.1 * 5 / 10
    optimizer.step()
    torch.testing.assert_close(w.detach(), torch.tensor([3.0, 5.0], dtype=torch.float64), rtol=0, atol=1e-15)
    optimizer.param_groups[0]["lr"] = 0.0  # inside the momentum: the old velocity (0, -1) keeps its rate
    optimizer.step()
    torch.testing.assert_close(w.detach(), torch.tensor([3.0, 5.5], dtype=torch.float64), rtol=0, atol=1e-15)


def test_without_adaptation_and_at_a_constant_rate_it_is_sgd() -> None:
    module, twin, adapted = network(), network(), network()
    settings: dict[str, Any] = {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}
    optimizers = [
        (module, LARS(module.parameters(), **settings, adapt=False)),
        (twin, torch.optim.SGD(twin.parameters(), **settings)),
        (adapted, LARS(adapted.parameters(), **settings)),
    ]
    for step in range(3):
        for each, optimizer in optimizers:
            backward(each, step)
            optimizer.step()
    assert_same_parameters(module, twin, atol=1e-12)
    with pytest.raises(AssertionError):
        assert_same_parameters(adapted, twin, atol=1e-4)


def test_the_step_of_an_adapted_weight_does_not_depend_on_the_gradients_length() -> None:
    steps = []
    for length in (1.0, 1e6):
        w = nn.Parameter(torch.ones(3, 2, dtype=torch.float64))
        w.grad = length * torch.arange(6, dtype=torch.float64).view(3, 2)
        LARS([w], 1.0, weight_decay=0.0).step()
        steps.append(1 - w.detach())
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-9, atol=0)
    assert steps[0].norm().item() == pytest.approx(1e-3 * math.sqrt(6))


@pytest.mark.parametrize("zero", ["weight", "gradient"])
def test_the_trust_ratio_is_one_where_a_norm_is_zero(zero: str) -> None:
    w = nn.Parameter(torch.zeros(2, 2) if zero == "weight" else torch.ones(2, 2))
    w.grad = torch.zeros(2, 2) if zero == "gradient" else torch.full((2, 2), 3.0)
    expected = w.detach() - 0.5 * w.grad
    LARS([w], 0.5, weight_decay=0.0).step()
    torch.testing.assert_close(w.detach(), expected, rtol=0, atol=0)


def test_reads_nothing_back_from_the_device() -> None:
    # The meta device has no values: whatever asks for one fails.
    w = nn.Parameter(torch.ones(3, 2, device="meta"))
    w.grad = torch.ones(3, 2, device="meta")
    LARS([w]).step()
    with pytest.raises(RuntimeError, match="meta"):
        w.sum().item()


def test_mixed_dtypes_missing_gradients_and_a_closure() -> None:
    wide, half, idle = (nn.Parameter(torch.ones(2, 2, dtype=t)) for t in (torch.float64, torch.bfloat16, torch.float32))
    optimizer = LARS([wide, half, idle], 1.0, trust_coefficient=0.1)

    def closure() -> float:
        assert torch.is_grad_enabled()
        loss = wide.sum() + half.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.item()

    assert optimizer.step(closure) == 8.0
    assert (wide < 1).all()
    assert (half < 1).all()
    assert (idle == 1).all()
    assert idle not in optimizer.state


def test_the_state_survives_a_round_trip_exactly(tmp_path: Any) -> None:
    module, resumed, amnesiac = network(), network(), network()
    optimizer = LARS(parameter_groups(module, 1e-2), 0.2)
    for step in range(2):
        backward(module, step)
        optimizer.step()
    torch.save({"module": module.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "state.pt")
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    others = []
    for other in (resumed, amnesiac):
        other.load_state_dict(saved["module"])
        others.append(LARS(parameter_groups(other, 0.5), 7.0))
    others[0].load_state_dict(saved["optimizer"])
    assert others[0].param_groups[0]["lr"] == 0.2
    for each, its in ((module, optimizer), (resumed, others[0]), (amnesiac, others[1])):
        backward(each, 2)
        its.step()
    assert_same_parameters(module, resumed)
    with pytest.raises(AssertionError):
        assert_same_parameters(module, amnesiac)


def test_parameter_groups_hold_each_parameter_once_and_exempt_biases_and_norms() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(2, 3))
            self.weight = nn.Parameter(torch.zeros(2, 3))
            self.scale = nn.Parameter(torch.zeros(()))
            self.norm = nn.LayerNorm((2, 3))

    module = nn.ModuleDict({"body": network(), "odd": Odd()})
    module["again"] = module["body"]  # shared: must not appear twice
    decayed, exempt = parameter_groups(module, 1e-4)
    names = {parameter: name for name, parameter in module.named_parameters()}
    assert [names[p] for p in decayed["params"]] == ["body.0.weight", "body.4.weight", "body.7.weight", "odd.weight"]
    assert {names[p] for p in exempt["params"]} == set(names.values()) - {names[p] for p in decayed["params"]}
    assert len(decayed["params"]) + len(exempt["params"]) == len(set(module.parameters()))
    assert (decayed["weight_decay"], decayed["adapt"]) == (1e-4, True)
    assert (exempt["weight_decay"], exempt["adapt"]) == (0.0, False)
    LARS(parameter_groups(module, 1e-4))


def test_parameter_groups_of_a_module_with_only_one_kind() -> None:
    norm = nn.BatchNorm1d(3)
    optimizer = LARS(parameter_groups(norm, 1e-4), 0.1)
    norm(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    torch.testing.assert_close(norm.bias.detach(), torch.full((3,), -0.4))


@pytest.mark.parametrize(
    "settings",
    [{"lr": -0.1}, {"momentum": 1.0}, {"momentum": -0.1}, {"weight_decay": -1.0}, {"trust_coefficient": 0.0}],
)
def test_values_out_of_range_are_refused_by_name(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        LARS([nn.Parameter(torch.ones(2))], **settings)
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        LARS([{"params": [nn.Parameter(torch.ones(2))], **settings}])


def test_a_sparse_gradient_is_refused() -> None:
    embedding = nn.Embedding(3, 2, sparse=True)
    embedding(torch.tensor([0])).sum().backward()
    with pytest.raises(ConfigurationError, match="sparse=False"):
        LARS(embedding.parameters()).step()


def test_the_schedule_has_exact_endpoints() -> None:
    factors = [warmup_cosine(step, total_steps=30, warmup_steps=10) for step in range(33)]
    assert factors[:11] == [step / 10 for step in range(11)]
    assert factors[20] == pytest.approx(0.5, abs=1e-15)
    assert factors[15] == pytest.approx((1 + math.sqrt(0.5)) / 2, abs=1e-15)
    assert factors[30:] == [0.0, 0.0, 0.0]
    assert all(later < earlier for earlier, later in pairwise(factors[10:31]))


def test_the_schedule_without_warmup_and_with_nothing_else() -> None:
    assert warmup_cosine(0, total_steps=5, warmup_steps=0) == 1.0
    assert [warmup_cosine(s, total_steps=2, warmup_steps=2) for s in range(3)] == [0.0, 0.5, 0.0]


@pytest.mark.parametrize(("step", "total", "warmup"), [(0, 5, 6), (0, 0, 0), (0, 5, -1), (-1, 5, 1)])
def test_impossible_schedules_are_refused(step: int, total: int, warmup: int) -> None:
    with pytest.raises(ConfigurationError):
        warmup_cosine(step, total_steps=total, warmup_steps=warmup)


def test_the_schedule_drives_every_group_and_resumes() -> None:
    def fresh() -> tuple[LARS, torch.optim.lr_scheduler.LambdaLR]:
        a, b = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
        optimizer = LARS([{"params": [a], "lr": 2.0}, {"params": [b]}], 1.0)
        return optimizer, warmup_cosine_schedule(optimizer, total_steps=8, warmup_steps=4)

    def advance(optimizer: LARS, schedule: torch.optim.lr_scheduler.LambdaLR, steps: int) -> list[list[float]]:
        rates = []
        for _ in range(steps):
            rates.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            schedule.step()
        return rates

    optimizer, schedule = fresh()
    rates = advance(optimizer, schedule, 3)
    resumed, resumed_schedule = fresh()
    resumed.load_state_dict(optimizer.state_dict())
    resumed_schedule.load_state_dict(schedule.state_dict())
    rates += advance(resumed, resumed_schedule, 6)
    factors = [warmup_cosine(step, total_steps=8, warmup_steps=4) for step in range(9)]
    assert rates == [[2 * factor, factor] for factor in factors]


@pytest.mark.parametrize("name", ["lars", "adamw", "sgd"])
def test_biases_and_norms_have_a_rate_of_their_own_and_no_decay(name: str) -> None:
    fields = {"name": name, "learning_rate": 0.02, "norm_learning_rate": 0.003, "weight_decay": 0.1}
    fields["beta_1" if name == "adamw" else "momentum"] = 0.8
    settings = override(Config(), {f"optimizer.{field}": value for field, value in fields.items()}).optimizer
    weights, norms = build_optimizer(settings, network()).param_groups
    assert (weights["lr"], weights["weight_decay"]) == (0.02, 0.1)
    assert (norms["lr"], norms["weight_decay"]) == (0.003, 0.0)
    same = build_optimizer(settings.model_copy(update={"norm_learning_rate": None}), network()).param_groups
    assert [group["lr"] for group in same] == [0.02, 0.02]
    kind = {"lars": LARS, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]
    optimizer = build_optimizer(settings, network())
    assert isinstance(optimizer, kind)
    assert weights.get("betas", (weights.get("momentum"),))[0] == 0.8
