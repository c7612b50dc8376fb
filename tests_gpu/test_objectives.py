"""The contrastive objectives on a GPU: exact, and in memory that does not grow with the square of the batch."""

import pytest
import torch

from hssl.objectives import contrastive, nt_xent


@pytest.mark.parametrize("objective", [contrastive, nt_xent])
def test_tiles_equal_the_dense_formulation(objective, gpu: torch.device) -> None:  # type: ignore[no-untyped-def]
    generator = torch.Generator(gpu).manual_seed(0)
    views = torch.randn(2, 2048, 64, generator=generator, device=gpu)
    found, expected = views.clone().requires_grad_(), views.double().requires_grad_()
    tiles = objective(found[0], found[1], block_rows=300)
    dense = objective(expected[0], expected[1], block_rows=2048)
    tiles.backward()
    dense.backward()
    assert abs(float(tiles) - float(dense)) < 1e-6 * abs(float(dense)) + 1e-6
    assert float((found.grad.double() - expected.grad).norm() / expected.grad.norm()) < 1e-5
    # Another temperature is another number.
    assert abs(float(objective(found[0], found[1], temperature=0.11)) - float(dense)) > 1e-3


def test_a_batch_whose_logits_would_not_fit(gpu: torch.device) -> None:
    views = torch.randn(2, 65536, 128, device=gpu, requires_grad=True)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    contrastive(views[0], views[1]).backward()
    peak = torch.cuda.max_memory_allocated() - before
    # The logits alone would be 64 GiB.
    assert peak < 1.5 * 2**30, f"{peak / 2**30:.2f} GiB"
