"""What one process of several knows of the others, and rows gathered from all of them with gradients.

How to scale the loss. Let R ranks hold n examples each. Rank r averages the terms of its own rows, over the negatives
of all ranks: `L_r = objective(gather_rows(p1), gather_rows(p2), rows=own_rows(n))`. The loss of the joined batch is the
mean of the L_r. A projection on rank r enters every L_q, and the backward pass here returns the gradient of their SUM
with respect to it. DistributedDataParallel then averages the ranks' parameter gradients, which divides this sum by R:
the result is the gradient of the joined loss. So no factor of R belongs anywhere, neither here nor in the training
step. Log the mean of L_r over ranks, not L_r.
"""

from typing import Any

import torch
from torch import Tensor, distributed

from hssl.errors import SizeError


def gather_rows(tensor: Tensor) -> Tensor:
    """The rows of all ranks in the order of ranks, [N, ...] -> [world * N, ...], with gradient.

    The backward pass sums, over ranks, the gradients with respect to the own rows, so every rank has to run it. Without
    a process group, or alone in one, this is the identity. Every rank brings the same N: with other shares the mean
    over ranks would not be the mean over examples.

    Raises:
        SizeError: ranks that bring different shapes. Checked on CPUs only, as reading sizes back would stall a GPU.
    """
    if world_size() == 1:
        return tensor
    if tensor.device.type == "cpu":
        _check_equal_shapes(tensor)
    gathered: Tensor = _GatherRows.apply(tensor)  # type: ignore[no-untyped-call]
    return gathered


def own_rows(n_local: int) -> slice:
    """Where this rank's `n_local` rows lie in the result of `gather_rows`."""
    first = rank() * n_local
    return slice(first, first + n_local)


def world_size() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def all_gather(tensor: Tensor) -> Tensor:
    """[N, ...] -> [world, N, ...], no gradient."""
    parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(world_size())]
    distributed.all_gather(parts, tensor.contiguous())
    return torch.stack(parts)


def _check_equal_shapes(tensor: Tensor) -> None:
    shapes = all_gather(torch.tensor([tensor.shape[0], tensor[:1].numel()])).tolist()
    if any(shape != shapes[0] for shape in shapes):
        raise SizeError(
            "the ranks bring different numbers of rows",
            got=", ".join(f"rank {rank}: {rows} x {width}" for rank, (rows, width) in enumerate(shapes)),
            expected="the same on every rank",
            hint="drop the short last batch, or choose a batch size that the number of devices divides",
        )


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.rows = own_rows(tensor.shape[0])
        return all_gather(tensor).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, grad_gathered: Tensor) -> Tensor:
        total = grad_gathered.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        own: Tensor = total[ctx.rows]
        return own
