"""Log-denominators of contrastive objectives in memory that does not grow with the square of the batch.

The logits of 2N projections form a symmetric matrix [2N, 2N]. It is visited in tiles that are made, used and dropped:
the forward pass keeps one number an anchor, its log-denominator, and the backward pass makes each tile again. So
beside the projections and their gradient there is never more than a few tiles, and the result is exact: the idea of
flash attention (Dao et al., 'FlashAttention', NeurIPS 2022, arXiv:2205.14135, section 3.1), with one matrix for
queries, keys and values.

Two savings come from the matrix itself. A tile (I, J) of two blocks of anchors serves I by its rows and J by its
columns, so half of the matrix suffices. And cosine similarities are bounded: unless the temperature is very low, the
exponential of a logit fits float32 as it stands, and neither maxima nor a second exponential are needed.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hssl.errors import ConfigurationError

# exp(+-40), and the sum of 2^31 of either, are normal float32 numbers.
_LARGEST_PLAIN_LOGIT = 40.0


def blockwise_log_denominators(
    vectors: Tensor, start: int, stop: int, *, block_rows: int, largest_logit: float, without_pair: bool
) -> Tensor:
    """log sum_{k_l} exp(<v(i_j), v(k_l)>) of the anchors i_j of the examples start..stop - 1.

    Args:
        vectors: [N, 2, D], both views of each example, float32 or float64, N > 1.
        start, stop: 0 <= start < stop <= N, the examples whose anchors are asked for; k runs over all N.
        block_rows: examples along a side of a tile, which then holds up to (2 block_rows)^2 logits.
        largest_logit: a bound of |<v(i_j), v(k_l)>|. Above 40 the exponentials are taken relative to maxima.
        without_pair: whether the sum leaves out both views of i; else it leaves out the anchor i_j alone.

    Returns:
        [stop - start, 2].

    Raises:
        ConfigurationError: a backward pass with create_graph=True; there are first derivatives only.
    """
    result: Tensor = _LogDenominators.apply(  # type: ignore[no-untyped-call]
        vectors, start, stop, block_rows, largest_logit <= _LARGEST_PLAIN_LOGIT, without_pair
    )
    return result


class _Tile(NamedTuple):
    """Blocks of anchors and of projections that they meet, as slices of all 2N.

    mutual: the projections are anchors as well, and meet these anchors in no other tile.
    """

    anchors: slice
    others: slice
    mutual: bool

    @property
    def diagonal(self) -> bool:
        return self.anchors == self.others


class _LogDenominators(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, start: int, stop: int, block_rows: int, plain: bool, without_pair: bool
    ) -> Tensor:
        flat = vectors.flatten(0, 1)
        log_sums = flat.new_full((len(flat),), float("-inf"))
        for tile in _tiles(len(vectors), start, stop, block_rows):
            logits = _logits(flat, tile, without_pair)
            if plain:
                logits.exp_()
            for side, dim in ((tile.anchors, 1), (tile.others, 0)):
                if dim == 1 or (tile.mutual and not tile.diagonal):
                    part = logits.sum(dim).log_() if plain else logits.logsumexp(dim)
                    log_sums[side] = torch.logaddexp(log_sums[side], part)
        log_denominators = log_sums[2 * start : 2 * stop].view(-1, 2).clone()
        ctx.save_for_backward(vectors, log_denominators)
        ctx.settings = (start, stop, block_rows, plain, without_pair)
        return log_denominators

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # `once_differentiable` would let wrong second derivatives pass where `grad` is a constant, as a mean makes it.
        if torch.is_grad_enabled():
            raise ConfigurationError(
                "a contrastive objective in tiles has first derivatives only",
                got="create_graph = True",
                hint="block_rows = the number of examples chooses the dense formulation",
            )
        vectors, log_denominators = ctx.saved_tensors
        start, stop, block_rows, plain, without_pair = ctx.settings
        # Autocast may be on where the backward pass is called, and would put the products into half precision.
        with torch.autocast(vectors.device.type, enabled=False):
            flat = vectors.flatten(0, 1)
            grad_flat = torch.zeros_like(flat)
            shift, weight = (flat.new_zeros(len(flat)) for _ in range(2))
            anchors = slice(2 * start, 2 * stop)
            if plain:
                weight[anchors] = (grad * torch.exp(-log_denominators)).flatten()
            else:
                weight[anchors] = grad.flatten()
                shift[anchors] = log_denominators.flatten()
            for tile in _tiles(len(vectors), start, stop, block_rows):
                logits = _logits(flat, tile, without_pair)
                grad_logits = _grad_logits(logits, tile, shift, weight, plain)
                grad_flat[tile.anchors].addmm_(grad_logits, flat[tile.others])
                if not tile.diagonal:
                    grad_flat[tile.others].addmm_(grad_logits.T, flat[tile.anchors])
        return grad_flat.view_as(vectors), None, None, None, None, None


def _tiles(examples: int, start: int, stop: int, block_rows: int) -> Iterator[_Tile]:
    def blocks(first: int, last: int) -> list[slice]:
        return [slice(2 * row, 2 * min(row + block_rows, last)) for row in range(first, last, block_rows)]

    anchors = blocks(start, stop)
    rest = blocks(0, start) + blocks(stop, examples)
    for index, block in enumerate(anchors):
        for other in anchors[index:]:
            yield _Tile(block, other, mutual=True)
        for other in rest:
            yield _Tile(block, other, mutual=False)


def _logits(flat: Tensor, tile: _Tile, without_pair: bool) -> Tensor:
    """The tile's logits, -inf where they are left out. Blocks hold whole examples: that is on the diagonal only."""
    logits = flat[tile.anchors] @ flat[tile.others].T
    if tile.diagonal:
        examples = len(logits) // 2
        # [example, view, example, view] -> [view, view, example]
        left_out = logits.view(examples, 2, examples, 2).diagonal(0, 0, 2) if without_pair else logits.diagonal()
        left_out.fill_(float("-inf"))
    return logits


def _grad_logits(logits: Tensor, tile: _Tile, shift: Tensor, weight: Tensor, plain: bool) -> Tensor:
    """d/d logits of the weighted log-denominators of the anchors and, where these are mutual, of the others.

    plain: a weight is the incoming gradient / denominator; else it is the incoming gradient, and shift the
    log-denominator.
    """
    of_anchors, of_others = weight[tile.anchors, None], weight[tile.others]
    if plain:
        return logits.exp_().mul_(of_anchors + of_others if tile.mutual else of_anchors)
    gradient = (logits - shift[tile.anchors, None]).exp_().mul_(of_anchors)
    if tile.mutual:
        gradient.addcmul_(logits.sub_(shift[tile.others]).exp_(), of_others)
    return gradient
