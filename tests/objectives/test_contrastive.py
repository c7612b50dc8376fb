"""The contrastive objectives against their definitions, their invariances and their differences."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hssl.errors import ConfigurationError, HsslError, SizeError
from hssl.objectives import OBJECTIVES, Contrastive, NTXent, contrastive, nt_xent
from naive_objectives import NAIVE, naive_contrastive, orthonormal_value

Objective = Callable[..., Tensor]
NAMES = ("contrastive", "nt-xent")


def pairs(n: int = 7, width: int = 5, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(n, width, generator=generator, dtype=torch.float64)
    second = first + 0.7 * torch.randn(n, width, generator=generator, dtype=torch.float64)
    return first.to(dtype), (3 * second).to(dtype)


def value_and_gradients(objective: Objective, first: Tensor, second: Tensor, **settings: object) -> tuple[Tensor, ...]:
    first, second = first.clone().requires_grad_(), second.clone().requires_grad_()
    value = objective(first, second, **settings)
    return value.detach(), *torch.autograd.grad(value, (first, second))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("n", [2, 7])
def test_equals_the_slow_twin(name: str, temperature: float, n: int) -> None:
    first, second = pairs(n)
    fast = value_and_gradients(OBJECTIVES[name], first, second, temperature=temperature)
    slow = value_and_gradients(NAIVE[name], first, second, temperature=temperature)
    torch.testing.assert_close(fast, slow, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_closed_form_for_orthogonal_examples(name: str) -> None:
    views = 2 * torch.eye(6, dtype=torch.float64)
    value = OBJECTIVES[name](views, views, temperature=0.5).item()
    assert value == pytest.approx(orthonormal_value(name, 6, 0.5), abs=1e-12)


def test_the_positive_pair_is_not_in_the_denominator_of_contrastive() -> None:
    first, second = pairs()
    without = naive_contrastive(first, second, 0.1).item()
    including = naive_contrastive(first, second, 0.1, with_positive=True).item()
    assert contrastive(first, second).item() == pytest.approx(without, abs=1e-11)
    assert abs(including - without) > 1e-2


def test_contrastive_is_not_nt_xent() -> None:
    first, second = pairs()
    assert abs(contrastive(first, second) - nt_xent(first, second)) > 1e-2


def test_contrastive_can_be_negative_and_nt_xent_cannot() -> None:
    views = torch.eye(4)
    assert contrastive(views, views).item() < -5
    assert nt_xent(views, views).item() > 0


@pytest.mark.parametrize("name", NAMES)
def test_invariances(name: str) -> None:
    objective = OBJECTIVES[name]
    first, second = pairs()
    value = objective(first, second)
    order = torch.randperm(len(first), generator=torch.Generator().manual_seed(1))
    lengths = torch.linspace(0.1, 9, len(first), dtype=torch.float64)[:, None]
    rotation = torch.linalg.qr(pairs(5, 5, seed=3)[0]).Q
    torch.testing.assert_close(objective(first[order], second[order]), value, rtol=0, atol=1e-12)
    torch.testing.assert_close(objective(second, first), value, rtol=0, atol=1e-12)
    torch.testing.assert_close(objective(lengths * first, second / lengths), value, rtol=0, atol=1e-12)
    torch.testing.assert_close(objective(first @ rotation, second @ rotation), value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_pairing_and_direction_count(name: str) -> None:
    objective = OBJECTIVES[name]
    first, second = pairs()
    value = objective(first, second)
    assert objective(first, second.roll(1, 0)) > value + 0.1
    assert abs(objective(first + 1, second) - value) > 1e-2


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_over_shares_is_the_whole(name: str) -> None:
    first, second = pairs(6)
    whole = value_and_gradients(OBJECTIVES[name], first, second)
    shares = [value_and_gradients(OBJECTIVES[name], first, second, rows=slice(i, i + 2)) for i in (0, 2, 4)]
    means = tuple(torch.stack(parts).mean(0) for parts in zip(*shares, strict=True))
    torch.testing.assert_close(means, whole, rtol=0, atol=1e-12)
    assert len({share[0].item() for share in shares}) == 3


@pytest.mark.parametrize("name", NAMES)
def test_a_share_is_what_the_slow_twin_says(name: str) -> None:
    first, second = pairs(6)
    value = OBJECTIVES[name](first, second, rows=slice(2, 5))
    torch.testing.assert_close(value, NAIVE[name](first, second, 0.1, examples=(2, 3, 4)), rtol=0, atol=1e-11)
    # Negatives from the own share only: the mistake that `rows` exists to prevent.
    assert abs(value - OBJECTIVES[name](first[2:5], second[2:5])) > 1e-2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [None, slice(1, 6)])
def test_blocks_change_nothing(name: str, rows: slice | None) -> None:
    first, second = pairs(7)
    whole = value_and_gradients(OBJECTIVES[name], first, second, rows=rows)
    blocks = value_and_gradients(OBJECTIVES[name], first, second, rows=rows, block_rows=2)
    torch.testing.assert_close(blocks, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_blocks_are_not_kept_for_the_backward_pass(name: str) -> None:
    first, second = pairs(64, dtype=torch.float32)

    def largest_saved(block_rows: int | None) -> int:
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            OBJECTIVES[name](first.clone().requires_grad_(), second, block_rows=block_rows)
        return max(sizes)

    assert largest_saved(None) >= 4 * 64 * 64
    assert largest_saved(8) <= 2 * 64 * 5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("block_rows", [None, 2])
def test_gradcheck(name: str, block_rows: int | None) -> None:
    first, second = (view.requires_grad_() for view in pairs(4, 3))
    assert torch.autograd.gradcheck(
        lambda a, b: OBJECTIVES[name](a, b, temperature=0.3, rows=slice(1, 4), block_rows=block_rows), (first, second)
    )


@pytest.mark.parametrize("name", NAMES)
def test_compiles_into_one_graph(name: str) -> None:
    first, second = pairs(dtype=torch.float32)
    compiled = torch.compile(OBJECTIVES[name], fullgraph=True, backend="aot_eager")
    eager = value_and_gradients(OBJECTIVES[name], first, second, rows=slice(1, 4))
    torch.testing.assert_close(value_and_gradients(compiled, first, second, rows=slice(1, 4)), eager)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_is_float32_inside_autocast_and_for_half_inputs(name: str, dtype: torch.dtype) -> None:
    first, second = pairs(64, 32, dtype=dtype)
    expected = OBJECTIVES[name](first.double(), second.double()).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, gradient, _ = value_and_gradients(OBJECTIVES[name], first, second)
        in_autocast = (torch.nn.functional.normalize(first.float(), dim=1) @ first.float().T).dtype
    assert in_autocast == torch.bfloat16, "autocast was not on"
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert gradient.dtype == dtype
    assert value.item() == pytest.approx(expected, abs=1e-12 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_large_logits_stay_finite(name: str) -> None:
    first, second = pairs(dtype=torch.float32)
    results = value_and_gradients(OBJECTIVES[name], first, second, temperature=1e-3)
    assert all(result.isfinite().all() for result in results)


def test_the_modules_are_the_functions() -> None:
    first, second = pairs()
    for module, function in ((Contrastive(0.3), contrastive), (NTXent(0.3), nt_xent)):
        assert module(first, second) == function(first, second, temperature=0.3)
        assert module(first, second, rows=slice(0, 3)) == function(first, second, temperature=0.3, rows=slice(0, 3))
        assert "temperature=0.3" in repr(module)


def test_the_configuration_knows_exactly_these_objectives() -> None:
    from typing import get_args

    from hssl.methods.settings import ContrastiveSettings

    assert set(get_args(ContrastiveSettings.model_fields["objective"].annotation)) == set(OBJECTIVES)


@pytest.mark.parametrize("objective", OBJECTIVES.values())
def test_a_batch_of_one_has_no_negatives(objective: Objective) -> None:
    with pytest.raises(SizeError, match=r"a batch of 1 has no negatives[\s\S]*hint: "):
        objective(torch.ones(1, 4), torch.ones(1, 4))


@pytest.mark.parametrize("objective", OBJECTIVES.values())
@pytest.mark.parametrize(
    ("first", "second", "settings", "words"),
    [
        ((4, 3), (5, 3), {}, r"\(4, 3\) and \(5, 3\)"),
        ((4, 3), (4, 2), {}, "do not form pairs"),
        ((4, 3, 1), (4, 3, 1), {}, r"\[N, D\]"),
        ((4, 3), (4, 3), {"rows": slice(2, 2)}, "share of examples"),
        ((4, 3), (4, 3), {"rows": slice(4, 8)}, "batch of 4"),
        ((4, 3), (4, 3), {"rows": slice(0, 4, 2)}, "contiguous"),
        ((4, 3), (4, 3), {"temperature": 0.0}, "temperature"),
        ((4, 3), (4, 3), {"temperature": float("nan")}, "temperature"),
        ((4, 3), (4, 3), {"block_rows": 0}, "block"),
    ],
)
def test_refusals(
    objective: Objective, first: tuple[int, ...], second: tuple[int, ...], settings: dict[str, object], words: str
) -> None:
    with pytest.raises(HsslError, match=words):
        objective(torch.ones(first), torch.ones(second), **settings)


def test_refuses_integers_and_bad_temperatures_early() -> None:
    with pytest.raises(SizeError, match="floating point"):
        contrastive(torch.ones(3, 2, dtype=torch.int64), torch.ones(3, 2, dtype=torch.int64))
    for module in (Contrastive, NTXent):
        with pytest.raises(ConfigurationError, match="temperature"):
            module(-1.0)
