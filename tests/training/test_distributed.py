"""1, 2 and 3 processes against one process on the joined batch: values, gradients, statistics; and what breaks them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import distributed_workers as workers
from hssl.errors import ConfigurationError, SizeError
from hssl.objectives import OBJECTIVES
from hssl.ranks import gather_rows, own_rows
from hssl.training.distributed import GlobalBatchNorm, globalize_batch_norm
from naive_objectives import NAIVE

Ranks = list[dict[str, Any]]


@pytest.fixture(scope="module", params=[1, 2, 3], ids=lambda world: f"{world}-ranks")
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    """The results of every rank."""
    world = request.param
    folder = tmp_path_factory.mktemp(f"world{world}")
    torch.multiprocessing.spawn(workers.run, args=(world, folder), nprocs=world)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(world)]


def alone(name: str, naive: bool = False) -> dict[str, Any]:
    module = workers.network()
    first, second = workers.project(module, workers.images())
    objective = NAIVE[name] if naive else OBJECTIVES[name]
    return workers.outcome(module, objective(first, second, temperature=workers.TEMPERATURE))


def largest_difference(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    assert left.keys() == right.keys()
    return max((left[name] - right[name]).abs().max().item() for name in left)


@pytest.mark.parametrize("naive", [False, True], ids=["fast", "loops"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_equals_one_process_on_the_joined_batch(ranks: Ranks, name: str, naive: bool) -> None:
    expected = alone(name, naive)
    for rank in ranks:
        torch.testing.assert_close(rank[name], expected, rtol=0, atol=1e-10)
    # In front of a norm a bias has no gradient; everywhere else there is one to compare.
    gradients = expected["gradients"]
    assert all(gradients[key].abs().max() > 1e-4 for key in gradients if key not in ("0.bias", "4.bias"))


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("mistake", ["no gradient", "local norm"])
def test_the_usual_mistakes_give_other_gradients(ranks: Ranks, name: str, mistake: str) -> None:
    expected = alone(name)
    wrong = ranks[0][f"{name}, {mistake}"]
    difference = largest_difference(wrong["gradients"], expected["gradients"])
    if len(ranks) == 1:
        assert difference < 1e-10
        return
    assert difference > 1e-3
    # Without gradient the value is still right: only gradients tell.
    same_value = abs(wrong["loss"] - expected["loss"]) < 1e-10
    assert same_value == (mistake == "no gradient")


def test_rows_are_gathered_in_order_and_their_gradients_summed(ranks: Ranks) -> None:
    world = len(ranks)
    own = torch.arange(6, dtype=torch.float64).view(2, 3)
    weights = torch.arange(world * 6, dtype=torch.float64).view(world, 2, 3)
    for index, rank in enumerate(ranks):
        assert rank["rows"] == (4 * index, 4 * index + 4)
        result = rank["gather"]
        assert torch.equal(result["gathered"], torch.cat([own + 10 * other for other in range(world)]))
        assert torch.equal(result["gradient"], weights[index] * sum(range(1, world + 1)))
        assert result["labels"].tolist() == [label for other in range(world) for label in (other, other + 10)]


def test_unequal_shares_are_refused_on_every_rank(ranks: Ranks) -> None:
    for rank in ranks:
        message = rank["gather"]["refusal"]
        assert (message is None) == (len(ranks) == 1)
        assert message is None or "rank 0: 2 x 3, rank 1: 3 x 3" in message


@pytest.mark.parametrize("name", workers.NORMS)
def test_global_batch_norm_equals_the_joined_batch(ranks: Ranks, name: str) -> None:
    expected = workers.norm_pass(*workers.norm_case(name))
    parts = [rank[f"norm {name}"] for rank in ranks]
    for key in ("y", "grad_x", "evaluated") if name != "no running statistics" else ("y", "grad_x"):
        torch.testing.assert_close(torch.cat([part[key] for part in parts]), expected[key], rtol=0, atol=1e-12)
    for key, gradient in expected["gradients"].items():
        total = sum(part["gradients"][key] for part in parts)
        torch.testing.assert_close(total, gradient, rtol=0, atol=1e-12)
    for part in parts:
        torch.testing.assert_close(part["buffers"], expected["buffers"], rtol=1e-12, atol=1e-12)
    assert expected["grad_x"].abs().max() > 0.1


def test_statistics_are_wide_for_half_inputs(ranks: Ranks) -> None:
    norm, x, grad_y = workers.norm_case("2d")
    expected = workers.norm_pass(norm.float(), x.bfloat16().float(), grad_y.bfloat16().float())
    parts = [rank["norm bfloat16"] for rank in ranks]
    for key in ("y", "grad_x"):
        joined = torch.cat([part[key] for part in parts])
        assert joined.dtype == torch.bfloat16
        torch.testing.assert_close(joined.float(), expected[key], rtol=2**-7, atol=1e-2)
    # Around a mean of 100, bfloat16 statistics would be off by 0.5.
    for part in parts:
        torch.testing.assert_close(part["buffers"], expected["buffers"], rtol=1e-4, atol=1e-4)


def test_outside_a_process_group_nothing_changes() -> None:
    rows = torch.ones(3, 2, requires_grad=True)
    assert gather_rows(rows) is rows
    assert own_rows(3) == slice(0, 3)
    for name in workers.NORMS:
        expected = workers.norm_pass(*workers.norm_case(name))
        norm, x, grad_y = workers.norm_case(name)
        torch.testing.assert_close(workers.norm_pass(globalize_batch_norm(norm), x, grad_y), expected, rtol=0, atol=0)


def test_globalize_keeps_parameters_buffers_and_names() -> None:
    module = workers.network()
    module.append(nn.Sequential(nn.BatchNorm3d(2).eval().requires_grad_(False)))
    before, state = dict(module.named_parameters()), module.state_dict(keep_vars=True)
    assert globalize_batch_norm(module) is module
    after = dict(module.named_parameters())
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)
    assert all(value is state[name] for name, value in module.state_dict(keep_vars=True).items())
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    assert [type(norm) for norm in norms] == [GlobalBatchNorm] * 3
    assert not norms[2].training
    assert not norms[2].weight.requires_grad
    assert "GlobalBatchNorm(2" in repr(module)
    workers.network().load_state_dict({k: v for k, v in module.state_dict().items() if not k.startswith("8")})
    assert globalize_batch_norm(module) is module


def test_globalize_refuses_what_it_cannot_join_and_changes_nothing() -> None:
    class Own(nn.BatchNorm2d):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    module = nn.Sequential(nn.BatchNorm1d(3), Own(3))
    with pytest.raises(ConfigurationError, match=r"1 \(Own\)"):
        globalize_batch_norm(module)
    assert type(module[0]) is nn.BatchNorm1d


def test_global_batch_norm_refuses_other_channels() -> None:
    with pytest.raises(SizeError, match=r"\[B, 3, \.\.\.\]"):
        GlobalBatchNorm(3)(torch.ones(2, 4, 5))
