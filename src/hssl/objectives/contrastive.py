"""The contrastive objective of the paper (equations 2 and 3) and SimCLR's NT-Xent, its usual relative.

The two differ in the denominator only. For an example i, views j, l in {1, 2} and cosine similarity s:

- `contrastive`: one denominator an example, over all four (j, l) and every OTHER example k != i. No similarity between
  the views of i itself enters it, the positive pair included.
- `nt_xent`: one denominator an anchor i_j, over everything but the anchor itself: the positive pair is in it.

References:
    Keller, Suau, Zappella, 'Homomorphic Self-Supervised Learning', 2022, arXiv:2211.08282, equations 2 and 3.
    Chen, Kornblith, Norouzi, Hinton, 'A Simple Framework for Contrastive Learning', ICML 2020, equation 1.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from hssl.errors import ConfigurationError, SizeError
from hssl.shapes import Projections, Scalar

# A block of examples holds at most this many logits (256 MiB in float32): a batch of 4096 is one block.
_LOGITS_IN_A_BLOCK = 2**26


class PairObjective(Protocol):
    """What `contrastive` and `nt_xent` have in common."""

    def __call__(
        self,
        projections_1: Projections,
        projections_2: Projections,
        *,
        temperature: float = 0.1,
        rows: slice | None = None,
        block_rows: int | None = None,
    ) -> Scalar: ...


def contrastive(
    projections_1: Projections,
    projections_2: Projections,
    *,
    temperature: float = 0.1,
    rows: slice | None = None,
    block_rows: int | None = None,
) -> Scalar:
    """The paper's objective, equations 2 and 3 of Keller et al. 2022, with s the cosine similarity:

        mean_i [ log sum_{k != i} sum_{j, l in {1, 2}} exp(s(i_j, k_l) / tau)  -  s(i_1, i_2) / tau ]

    The positive pair is not in the denominator, so the value can be negative.

    Args:
        projections_1: [N, D], the first view of each example; any length, only the direction counts.
        projections_2: [N, D], the second view of the same examples in the same order.
        temperature: tau > 0.
        rows: the examples i whose terms are averaged; all N stay in the denominators. With equal shares the mean over
            shares is the value over all. None: every example.
        block_rows: examples whose logits are held at once; more than one block is recomputed in the backward pass.
            None: as many as fit 2^26 logits.

    Returns:
        A scalar: float64 for float64 inputs, else float32, also for half inputs and inside autocast.

    Raises:
        SizeError: shapes that differ or are not [N, D], N < 2 (no negatives), or an empty share.
        ConfigurationError: a temperature that is not positive, strided rows, or block_rows < 1.
    """
    return _mean_term(_contrastive_terms, projections_1, projections_2, temperature, rows, block_rows)


def nt_xent(
    projections_1: Projections,
    projections_2: Projections,
    *,
    temperature: float = 0.1,
    rows: slice | None = None,
    block_rows: int | None = None,
) -> Scalar:
    """SimCLR's normalised temperature-scaled cross entropy, equation 1 of Chen et al. 2020, s as above:

        mean over anchors i_j of [ log sum_{k_l != i_j} exp(s(i_j, k_l) / tau)  -  s(i_1, i_2) / tau ]

    All 2N projections are anchors; `rows` names examples, and both their anchors are averaged. Arguments, result and
    errors are those of `contrastive`.
    """
    return _mean_term(_nt_xent_terms, projections_1, projections_2, temperature, rows, block_rows)


class Contrastive(nn.Module):
    """`contrastive` with its temperature fixed: two [N, D] in, a scalar out."""

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        _check_temperature(temperature)
        self.temperature = temperature

    def forward(self, projections_1: Projections, projections_2: Projections, rows: slice | None = None) -> Scalar:
        return contrastive(projections_1, projections_2, temperature=self.temperature, rows=rows)

    def extra_repr(self) -> str:
        return f"[N, D], [N, D] -> [], temperature={self.temperature}"


class NTXent(nn.Module):
    """`nt_xent` with its temperature fixed: two [N, D] in, a scalar out."""

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        _check_temperature(temperature)
        self.temperature = temperature

    def forward(self, projections_1: Projections, projections_2: Projections, rows: slice | None = None) -> Scalar:
        return nt_xent(projections_1, projections_2, temperature=self.temperature, rows=rows)

    def extra_repr(self) -> str:
        return f"[N, D], [N, D] -> [], temperature={self.temperature}"


# directions [2, N, D] of both views, temperature, first and last + 1 example of the block -> one term an example [n]
_Terms = Callable[[Tensor, float, int, int], Tensor]


def _mean_term(
    terms: _Terms,
    projections_1: Tensor,
    projections_2: Tensor,
    temperature: float,
    rows: slice | None,
    block_rows: int | None,
) -> Tensor:
    _check_temperature(temperature)
    _check_projections(projections_1, projections_2)
    examples = projections_1.shape[0]
    start, stop = _share(rows, examples)
    if block_rows is None:
        block_rows = max(1, _LOGITS_IN_A_BLOCK // (4 * examples))
    elif block_rows < 1:
        raise ConfigurationError("a block has at least one example", arrived=f"block_rows = {block_rows}")

    # Half precision has too few digits for similarities divided by 0.1, and autocast would put the products there.
    with torch.autocast(projections_1.device.type, enabled=False):
        stacked = torch.stack([projections_1, projections_2])
        directions = functional.normalize(stacked if stacked.dtype == torch.float64 else stacked.float(), dim=2)
        if stop - start <= block_rows:
            return terms(directions, temperature, start, stop).mean()
        blocks = [
            checkpoint(
                terms,
                directions,
                temperature,
                first,
                min(first + block_rows, stop),
                use_reentrant=False,
                preserve_rng_state=False,
            )
            for first in range(start, stop, block_rows)
        ]
        return torch.cat(blocks).mean()


def _contrastive_terms(directions: Tensor, temperature: float, start: int, stop: int) -> Tensor:
    logits = _logits(directions, temperature, start, stop)  # [2, n, 2, N]
    example = torch.arange(directions.shape[1], device=directions.device)
    same_example = example[start:stop, None, None] == example  # [n, 1, N]
    by_view = logits.masked_fill(same_example, float("-inf")).logsumexp(dim=(2, 3))  # [2, n], along contiguous memory
    denominators = by_view.logsumexp(dim=0)
    return denominators - _positives(directions, temperature, start, stop)


def _nt_xent_terms(directions: Tensor, temperature: float, start: int, stop: int) -> Tensor:
    logits = _logits(directions, temperature, start, stop)  # [2, n, 2, N]
    example = torch.arange(directions.shape[1], device=directions.device)
    view = torch.arange(2, device=directions.device)
    same_example = example[start:stop, None, None] == example  # [n, 1, N]
    anchor_itself = same_example & (view[:, None, None, None] == view[:, None])  # [2, n, 2, N]
    denominators = logits.masked_fill(anchor_itself, float("-inf")).logsumexp(dim=(2, 3))  # [2, n]
    return denominators.mean(dim=0) - _positives(directions, temperature, start, stop)


def _logits(directions: Tensor, temperature: float, start: int, stop: int) -> Tensor:
    """s(i_j, k_l) / tau for the examples i of a block: [j, i, l, k]."""
    _, examples, width = directions.shape
    anchors = directions[:, start:stop].reshape(2 * (stop - start), width) / temperature
    return (anchors @ directions.reshape(2 * examples, width).T).view(2, stop - start, 2, examples)


def _positives(directions: Tensor, temperature: float, start: int, stop: int) -> Tensor:
    return (directions[0, start:stop] * directions[1, start:stop]).sum(dim=1) / temperature


def _share(rows: slice | None, examples: int) -> tuple[int, int]:
    if rows is None:
        return 0, examples
    start, stop, step = rows.indices(examples)
    if step != 1:
        raise ConfigurationError("rows is a contiguous slice", arrived=rows, accepted="slice(start, stop)")
    if stop <= start:
        raise SizeError(
            "the share of examples to average is empty",
            arrived=f"rows = {rows} of a batch of {examples}",
            remedy="give rows that lie inside the batch; slices count from 0",
        )
    return start, stop


def _check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise ConfigurationError(
            "the temperature divides similarities and has to be positive", arrived=temperature, accepted="> 0"
        )


def _check_projections(projections_1: Tensor, projections_2: Tensor) -> None:
    shapes = f"{tuple(projections_1.shape)} and {tuple(projections_2.shape)}"
    if projections_1.shape != projections_2.shape or projections_1.ndim != 2:
        raise SizeError(
            "the projections of the two views do not form pairs", arrived=shapes, accepted="twice the same [N, D]"
        )
    if not (projections_1.is_floating_point() and projections_2.is_floating_point()):
        raise SizeError(
            "projections are floating point numbers", arrived=f"{projections_1.dtype} and {projections_2.dtype}"
        )
    if projections_1.shape[0] < 2:
        raise SizeError(
            f"a batch of {projections_1.shape[0]} has no negatives: nothing to contrast the positive pair with",
            arrived=shapes,
            accepted="at least 2 examples",
            remedy="raise trainer.batch_size, lower trainer.accumulate, or drop the short last batch",
        )
