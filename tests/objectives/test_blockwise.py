"""Tiles against all logits at once: values, gradients, memory, products; and the mistakes that tiles invite."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from hssl.errors import ConfigurationError
from hssl.objectives import OBJECTIVES, blockwise
from hssl.objectives.blockwise import blockwise_log_denominators
from naive_objectives import NAIVE
from waiting import HANG_SECONDS

Outcome = tuple[Tensor, ...]  # the value and both gradients
NAMES = ("contrastive", "nt-xent")
N = 2048
# 0.01 takes maxima, 1 does not need them.
TEMPERATURES = (0.01, 1.0)


def pairs(n: int, width: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(n, width, generator=generator, dtype=torch.float64)
    second = first + 0.7 * torch.randn(n, width, generator=generator, dtype=torch.float64)
    return first.to(dtype), (3 * second).to(dtype)


def outcome(name: str, first: Tensor, second: Tensor, **settings: Any) -> Outcome:
    first, second = first.clone().requires_grad_(), second.clone().requires_grad_()
    value = OBJECTIVES[name](first, second, **settings)
    return value.detach(), *torch.autograd.grad(value, (first, second))


@cache
def dense(name: str, temperature: float, dtype: torch.dtype) -> Outcome:
    return outcome(name, *pairs(N, 16, dtype), temperature=temperature, block_rows=N)


def assert_equal(actual: Outcome, expected: Outcome, tolerance: float) -> None:
    """Relative to the largest entry of the value and of each gradient."""
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        error = (one - other).abs().max() / other.abs().max()
        assert error <= tolerance, f"relative error {error:.2e}, allowed are {tolerance:.0e}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("block_rows", [129, 333, 1025])
def test_equals_the_dense_formulation(name: str, temperature: float, block_rows: int) -> None:
    first, second = pairs(N, 16)
    actual = outcome(name, first, second, temperature=temperature, block_rows=block_rows)
    assert_equal(actual, dense(name, temperature, torch.float64), 1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("block_rows", [129, 1025])
def test_equals_the_dense_formulation_in_single_precision(name: str, temperature: float, block_rows: int) -> None:
    first, second = pairs(N, 16, torch.float32)
    actual = outcome(name, first, second, temperature=temperature, block_rows=block_rows)
    expected = dense(name, temperature, torch.float32)
    assert_equal(actual[:1], expected[:1], 1e-6)
    # A logit of 100 is rounded by 4e-6, and a gradient has relative errors of that size in either formulation.
    assert_equal(actual[1:], expected[1:], 1e-6 if temperature == 1 else 8e-6)
    # Half of the products are summed in another order; the truth is as near as it was.
    truth = dense(name, temperature, torch.float64)
    for one, other, true in zip(actual, expected, truth, strict=True):
        assert (one - true).norm() < 2 * (other - true).norm() + 1e-6 * true.norm()


def without_one_tile(*arguments: int) -> Iterator[Any]:
    tiles = list(blockwise._tiles_of_all(*arguments))  # type: ignore[attr-defined]
    yield from (tile for index, tile in enumerate(tiles) if index != len(tiles) // 2)


def rows_only(*arguments: int) -> Iterator[Any]:
    for tile in blockwise._tiles_of_all(*arguments):  # type: ignore[attr-defined]
        yield tile if tile.diagonal else tile._replace(mutual=False)


MISTAKES: dict[str, tuple[str, Callable[..., Any]]] = {
    "a tile is left out": ("_tiles", without_one_tile),
    "columns are not served": ("_tiles", rows_only),
    "the other mask": (
        "_logits",
        lambda flat, tile, without_pair: blockwise._logits_of_all(flat, tile, not without_pair),  # type: ignore[attr-defined]
    ),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_noticed(monkeypatch: pytest.MonkeyPatch, name: str, temperature: float, mistake: str) -> None:
    target, replacement = MISTAKES[mistake]
    monkeypatch.setattr(blockwise, f"{target}_of_all", getattr(blockwise, target), raising=False)
    monkeypatch.setattr(blockwise, target, replacement)
    actual = outcome(name, *pairs(N, 16), temperature=temperature, block_rows=333)
    expected = dense(name, temperature, torch.float64)
    with pytest.raises(AssertionError, match="relative error"):
        assert_equal(actual[:1], expected[:1], 1e-12)
    with pytest.raises(AssertionError, match="relative error"):
        assert_equal(actual[1:], expected[1:], 1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_mean_over_shares_is_the_whole(name: str, temperature: float) -> None:
    first, second = pairs(N, 16)
    cuts = (0, 300, 1001, N)  # the second and third share begin inside what is a block of the whole
    total: list[Tensor] = [torch.zeros((), dtype=torch.float64)] * 3
    for start, stop in pairwise(cuts):
        share = outcome(name, first, second, temperature=temperature, rows=slice(start, stop), block_rows=257)
        total = [sum_ + part * (stop - start) / N for sum_, part in zip(total, share, strict=True)]
    assert_equal(tuple(total), dense(name, temperature, torch.float64), 1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_every_share_in_every_block_size(name: str, temperature: float) -> None:
    for n in (2, 3, 5):
        first, second = pairs(n, 3)
        for rows in [slice(start, stop) for stop in range(1, n + 1) for start in range(stop)]:
            expected = outcome(name, first, second, temperature=temperature, rows=rows, block_rows=n)
            naive = NAIVE[name](first, second, temperature, examples=range(rows.start, rows.stop))
            torch.testing.assert_close(expected[0], naive, rtol=1e-12, atol=1e-12)
            # A block of one example has tiles without any logit left.
            for block_rows in range(1, n):
                actual = outcome(name, first, second, temperature=temperature, rows=rows, block_rows=block_rows)
                torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", [0.02, 0.5])
@pytest.mark.parametrize("rows", [None, slice(1, 4)])
@pytest.mark.parametrize("block_rows", [1, 2, 4])
def test_gradcheck(name: str, temperature: float, rows: slice | None, block_rows: int) -> None:
    views = [view.requires_grad_() for view in pairs(5, 3)]
    assert torch.autograd.gradcheck(
        lambda *both: OBJECTIVES[name](*both, temperature=temperature, rows=rows, block_rows=block_rows), views
    )


def test_each_anchor_has_a_gradient_of_its_own() -> None:
    vectors = torch.stack(pairs(5, 3), dim=1).requires_grad_()
    weights = torch.linspace(-1, 2, 6, dtype=torch.float64).view(3, 2)
    for largest_logit in (1.0, 100.0):
        assert torch.autograd.gradcheck(
            lambda v, bound: (
                weights * blockwise_log_denominators(v, 1, 4, block_rows=2, largest_logit=bound, without_pair=False)
            ),
            (vectors, largest_logit),
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", [1 / 40, 0.01, 1e-3])
def test_opposite_examples_neither_overflow_nor_vanish(name: str, temperature: float) -> None:
    # The first example's negatives have cosine -1, those of the others 1 as well.
    towards = torch.eye(8)[0] * torch.tensor([-1.0] + [1.0] * 8)[:, None]
    first = towards + 1e-3 * torch.arange(72).view(9, 8).sin()
    second = towards + 1e-3 * torch.arange(72).view(9, 8).cos()
    actual = outcome(name, first, second, temperature=temperature, block_rows=2)
    expected = outcome(name, first.double(), second.double(), temperature=temperature, block_rows=9)
    torch.testing.assert_close(actual[0], expected[0].float(), rtol=1e-6, atol=1e-7 / temperature)
    assert all(gradient.isfinite().all() for gradient in actual)


def test_plain_exponentials_would_overflow_at_low_temperatures() -> None:
    vectors = 10 * torch.eye(6)[0].expand(3, 2, 6)
    with_maxima, plain = (
        blockwise_log_denominators(vectors, 0, 3, block_rows=1, largest_logit=bound, without_pair=True)
        for bound in (100.0, 1.0)
    )
    assert torch.equal(with_maxima, 100 + torch.full((3, 2), 4.0).log())
    assert plain.isinf().all()


class LargestTensor(TorchDispatchMode):
    """Entries of the largest tensor that any operation returns."""

    entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.entries = max(self.entries, result.numel())
        return result


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_no_tensor_is_larger_than_a_tile(name: str, temperature: float) -> None:
    first, second = pairs(400, 4, torch.float32)

    def largest(**settings: Any) -> int:
        with LargestTensor() as mode:
            outcome(name, first, second, temperature=temperature, **settings)
        return mode.entries

    assert largest(block_rows=30) == 60 * 60
    assert largest(block_rows=30, rows=slice(100, 200)) == 60 * 60
    assert largest() == 512 * 512
    assert largest(block_rows=400) == 800 * 800


def test_half_of_the_products_are_saved() -> None:
    first, second = pairs(64, 4)

    def products(rows: slice | None, block_rows: int) -> float:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            OBJECTIVES["contrastive"](first, second, rows=rows, block_rows=block_rows)
        return counter.get_total_flops() / (2 * 128 * 128 * 4)

    assert products(None, 64) == 1
    # 8 by 8 tiles, those of the diagonal made whole. Of 2 blocks of anchors, only what they share is halved.
    assert products(None, 8) == (8 + 7 * 8 / 2) / 64
    assert products(slice(16, 32), 8) == (2 + 1 + 2 * 6) / 64


def test_dense_is_the_choice_for_small_batches_and_for_one_block() -> None:
    def second_derivatives(n: int, **settings: Any) -> Tensor:
        first, second = (view.requires_grad_() for view in pairs(n, 3))
        (gradient,) = torch.autograd.grad(OBJECTIVES["nt-xent"](first, second, **settings), first, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), first)[0]

    for n, settings in ((64, {}), (65, {"block_rows": 65}), (65, {"block_rows": 1000})):
        assert second_derivatives(n, **settings).abs().max() > 0
    for n, settings in ((65, {}), (64, {"block_rows": 63})):
        with pytest.raises(ConfigurationError, match=r"first derivatives only[\s\S]*dense"):
            second_derivatives(n, **settings)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_backward_pass_is_float32_inside_autocast(name: str, temperature: float) -> None:
    views = [view.requires_grad_() for view in pairs(64, 32, torch.float32)]

    def gradients(inside: bool) -> tuple[Tensor, ...]:
        value = OBJECTIVES[name](*views, temperature=temperature, block_rows=20)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=inside):
            assert (views[0] @ views[1].T).dtype == (torch.bfloat16 if inside else torch.float32)
            return torch.autograd.grad(value, views)

    assert all(torch.equal(one, other) for one, other in zip(gradients(True), gradients(False), strict=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("rows", [None, slice(2, 9)])
def test_compiles_into_one_graph(name: str, temperature: float, rows: slice | None) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(OBJECTIVES[name], fullgraph=True, backend="aot_eager")
    for n in (11, 13):  # the second size makes the compiler try a graph for any size
        views = [view.requires_grad_() for view in pairs(n, 5, torch.float32)]
        both = []
        for function in (compiled, OBJECTIVES[name]):
            value = function(*views, temperature=temperature, rows=rows, block_rows=3)
            both.append((value.detach(), *torch.autograd.grad(value, views)))
        torch.testing.assert_close(*both)


# The peak of this process image alone: getrusage would begin with the peak of the process that started it.
STEP = """
import sys
from pathlib import Path
import torch
from hssl.objectives import OBJECTIVES

def peak_bytes():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])

def step(n, block_rows=None):
    first, second = (torch.randn(n, 128, requires_grad=True) for _ in range(2))
    OBJECTIVES[sys.argv[1]](first, second, temperature=float(sys.argv[2]), block_rows=block_rows).backward()

torch.set_num_threads(1)
step(300)
before = peak_bytes()
step(*map(int, sys.argv[3:]))
print(peak_bytes() - before)
"""
MIB = 2**20


def memory_of_a_step(*arguments: object) -> int:
    """Bytes by which one forward and backward pass raises the peak of a process that has made a small one before."""
    command = [sys.executable, "-c", STEP, *map(str, arguments)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=HANG_SECONDS).stdout)


@pytest.mark.parametrize(
    ("name", "temperature", "n", "limit"),
    [("contrastive", 0.1, 16384, 512 * MIB), ("nt-xent", 0.01, 8192, 256 * MIB)],
)
def test_the_memory_of_a_step(name: str, temperature: float, n: int, limit: int) -> None:
    logits = 4 * n**2 * 4
    assert logits > 2 * limit
    # Inputs, their gradients and what normalisation keeps are some ten times [N, D] and take a part of the limit.
    assert memory_of_a_step(name, temperature, n) < limit


def test_the_memory_of_dense_logits_is_seen() -> None:
    logits = 4 * 2048**2 * 4
    assert memory_of_a_step("contrastive", 0.1, 2048, 2048) > 2 * logits
    assert memory_of_a_step("contrastive", 0.1, 2048) < logits
