"""Slow twins of the contrastive objectives: the definitions, term by term, to be read and compared with."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b) / (a.norm() * b.norm())


def naive_contrastive(
    projections_1: Tensor,
    projections_2: Tensor,
    temperature: float,
    examples: Sequence[int] | None = None,
    with_positive: bool = False,
) -> Tensor:
    """Equations 2 and 3 of Keller et al. 2023; `with_positive` adds the one term that they leave out."""
    views = (projections_1.double(), projections_2.double())
    total, n = [], len(projections_1)
    for i in range(n) if examples is None else examples:
        positive = cosine(views[0][i], views[1][i]) / temperature
        denominator = torch.exp(positive) if with_positive else torch.zeros((), dtype=torch.float64)
        for k in range(n):
            if k == i:
                continue
            for j in (0, 1):
                for other in (0, 1):
                    denominator = denominator + torch.exp(cosine(views[j][i], views[other][k]) / temperature)
        total.append(torch.log(denominator) - positive)
    return torch.stack(total).mean()


def naive_nt_xent(
    projections_1: Tensor, projections_2: Tensor, temperature: float, examples: Sequence[int] | None = None
) -> Tensor:
    """Equation 1 of Chen et al. 2020, averaged over both anchors of each example."""
    everything = [*projections_1.double(), *projections_2.double()]
    total, n = [], len(projections_1)
    for i in range(n) if examples is None else examples:
        for anchor, positive in ((i, i + n), (i + n, i)):
            denominator = sum(
                torch.exp(cosine(everything[anchor], everything[k]) / temperature) for k in range(2 * n) if k != anchor
            )
            assert isinstance(denominator, Tensor)
            total.append(torch.log(denominator) - cosine(everything[anchor], everything[positive]) / temperature)
    return torch.stack(total).mean()


NAIVE = {"contrastive": naive_contrastive, "nt-xent": naive_nt_xent}


def orthonormal_value(name: str, n: int, temperature: float) -> float:
    """The value in closed form for identical views and mutually orthogonal examples."""
    if name == "contrastive":
        return math.log(4 * (n - 1)) - 1 / temperature
    return math.log(2 * (n - 1) + math.exp(1 / temperature)) - 1 / temperature
