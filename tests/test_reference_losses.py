"""Objectives against published implementations: recorded values and gradients in float64."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hssl.objectives import OBJECTIVES


@pytest.mark.parametrize("name", ["nt_xent"])
def test_objective_agrees_with_the_record(reference_root: Path, name: str) -> None:
    with np.load(reference_root / "losses.npz") as record:
        recorded = {key: torch.from_numpy(record[key]) for key in record}
    first, second = recorded["a"].requires_grad_(), recorded["b"].requires_grad_()
    value = OBJECTIVES[name](first, second, temperature=recorded["temperature"].item())
    value.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(value.detach(), recorded[name], rtol=0, atol=1e-10)
    torch.testing.assert_close(first.grad, recorded[f"{name}_grad_a"], rtol=0, atol=1e-10)
    torch.testing.assert_close(second.grad, recorded[f"{name}_grad_b"], rtol=0, atol=1e-10)
    assert first.grad is not None
    assert first.grad.abs().max() > 1e-2


def test_contrastive_is_none_of_the_recorded_losses(reference_root: Path) -> None:
    with np.load(reference_root / "losses.npz") as record:
        value = OBJECTIVES["contrastive"](torch.from_numpy(record["a"]), torch.from_numpy(record["b"])).item()
        others = [record[key].item() for key in record if record[key].ndim == 0 and key != "temperature"]
    assert len(others) == 5
    assert min(abs(value - other) for other in others) > 1e-2
