"""The contrastive objective of the paper (equations 2 and 3) and SimCLR's NT-Xent, its usual relative.

The two differ in the denominator only. For an example i, views j, l in {1, 2} and cosine similarity s:

- `contrastive`: one denominator an example, over all four (j, l) and every OTHER example k != i. No similarity between
  the views of i itself enters it, the positive pair included.
- `nt_xent`: one denominator an anchor i_j, over everything but the anchor itself: the positive pair is in it.

References:
    Keller, Suau, Zappella, 'Homomorphic Self-Supervised Learning', TMLR 2023, arXiv:2211.08282, equations 2 and 3.
    Chen, Kornblith, Norouzi, Hinton, 'A Simple Framework for Contrastive Learning', ICML 2020, equation 1.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from hssl.errors import ConfigurationError, SizeError
from hssl.objectives.blockwise import blockwise_log_denominators
from hssl.shapes import Projections, Scalar

# Examples along a side of a tile. CPU: 1 MiB of logits, a core's cache; 128 to 512 measure alike. Accelerators: 64 MiB,
# as every tile costs some ten kernel launches.
_BLOCK_ROWS_CPU = 256
_BLOCK_ROWS_ACCELERATOR = 2048
# Up to here the dense formulation is no slower: the calls cost more than the logits.
_DENSE_EXAMPLES = 64


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
    """The paper's objective, equations 2 and 3 of Keller et al. 2023, with s the cosine similarity:

        mean_i [ log sum_{k != i} sum_{j, l in {1, 2}} exp(s(i_j, k_l) / tau)  -  s(i_1, i_2) / tau ]

    The positive pair is not in the denominator, so the value can be negative.

    Args:
        projections_1: [N, D], the first view of each example; any length, only the direction counts.
        projections_2: [N, D], the second view of the same examples in the same order.
        temperature: tau > 0.
        rows: the examples i whose terms are averaged; all N stay in the denominators. With equal shares the mean over
            shares is the value over all. None: every example.
        block_rows: examples along a side of a tile of logits. N or more: the dense formulation, all logits at once and
            kept for the backward pass. Fewer: tiles, one at a time in either pass; memory grows with N * D only. None:
            dense up to 64 examples, else tiles of 256 examples on a CPU, 2048 elsewhere. Nothing but rounding, memory
            and time depend on it.

    Returns:
        A scalar: float64 for float64 inputs, else float32, also for half inputs and inside autocast. First
        derivatives only, unless dense.

    Raises:
        SizeError: shapes that differ or are not [N, D], N < 2 (no negatives), or an empty share.
        ConfigurationError: a temperature that is not positive, strided rows, block_rows < 1, or a second derivative
            of tiles.
    """
    log_denominators, positives = _log_denominators_and_positives(
        projections_1, projections_2, temperature, rows, block_rows, without_pair=True
    )
    return (log_denominators.logsumexp(dim=1) - positives).mean()


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
    log_denominators, positives = _log_denominators_and_positives(
        projections_1, projections_2, temperature, rows, block_rows, without_pair=False
    )
    return (log_denominators.mean(dim=1) - positives).mean()


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


def _log_denominators_and_positives(
    projections_1: Tensor,
    projections_2: Tensor,
    temperature: float,
    rows: slice | None,
    block_rows: int | None,
    *,
    without_pair: bool,
) -> tuple[Tensor, Tensor]:
    """Of the n examples of `rows`: log sum exp(s / tau) over what each anchor meets, [n, 2]; s(i_1, i_2) / tau, [n].

    An anchor meets every projection but itself or, with `without_pair`, but both views of its example.
    """
    _check_temperature(temperature)
    _check_projections(projections_1, projections_2)
    examples = projections_1.shape[0]
    start, stop = _share(rows, examples)
    if block_rows is None:
        dense = examples <= _DENSE_EXAMPLES
        block_rows = _BLOCK_ROWS_CPU if projections_1.device.type == "cpu" else _BLOCK_ROWS_ACCELERATOR
    elif block_rows < 1:
        raise ConfigurationError("a block has at least one example", got=f"block_rows = {block_rows}")
    else:
        dense = block_rows >= examples

    # Half precision has too few digits for similarities divided by 0.1, and autocast would put the products there.
    with torch.autocast(projections_1.device.type, enabled=False):
        stacked = torch.stack([projections_1, projections_2], dim=1)
        directions = functional.normalize(stacked if stacked.dtype == torch.float64 else stacked.float(), dim=2)
        vectors = directions * temperature**-0.5  # [N, 2, D], with <v(i_j), v(k_l)> = s(i_j, k_l) / tau
        positives = (vectors[start:stop, 0] * vectors[start:stop, 1]).sum(dim=1)
        if dense:
            return _dense_log_denominators(vectors, start, stop, without_pair=without_pair), positives
        log_denominators = blockwise_log_denominators(
            vectors, start, stop, block_rows=block_rows, largest_logit=1 / temperature, without_pair=without_pair
        )
        return log_denominators, positives


def _dense_log_denominators(vectors: Tensor, start: int, stop: int, *, without_pair: bool) -> Tensor:
    """What `blockwise_log_denominators` computes, with all logits at once and by plain autograd."""
    flat = vectors.flatten(0, 1)
    anchors = slice(2 * start, 2 * stop)
    logits = flat[anchors] @ flat.T  # [2n, 2N]
    index = torch.arange(len(flat), device=flat.device)
    if without_pair:
        index = index // 2  # the example of each projection
    left_out = index[anchors, None] == index
    return logits.masked_fill(left_out, float("-inf")).logsumexp(dim=1).view(stop - start, 2)


def _share(rows: slice | None, examples: int) -> tuple[int, int]:
    if rows is None:
        return 0, examples
    start, stop, step = rows.indices(examples)
    if step != 1:
        raise ConfigurationError("rows is a contiguous slice", got=rows, expected="slice(start, stop)")
    if stop <= start:
        raise SizeError(
            "the share of examples to average is empty",
            got=f"rows = {rows} of a batch of {examples}",
            hint="give rows that lie inside the batch; slices count from 0",
        )
    return start, stop


def _check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise ConfigurationError(
            "the temperature divides similarities and has to be positive", got=temperature, expected="> 0"
        )


def _check_projections(projections_1: Tensor, projections_2: Tensor) -> None:
    shapes = f"{tuple(projections_1.shape)} and {tuple(projections_2.shape)}"
    if projections_1.shape != projections_2.shape or projections_1.ndim != 2:
        raise SizeError(
            "the projections of the two views do not form pairs", got=shapes, expected="twice the same [N, D]"
        )
    if not (projections_1.is_floating_point() and projections_2.is_floating_point()):
        raise SizeError(
            "projections are floating point numbers", got=f"{projections_1.dtype} and {projections_2.dtype}"
        )
    if projections_1.shape[0] < 2:
        raise SizeError(
            f"a batch of {projections_1.shape[0]} has no negatives: nothing to contrast the positive pair with",
            got=shapes,
            expected="at least 2 examples",
            hint="raise trainer.batch_size, lower trainer.accumulate, or drop the short last batch",
        )
