"""What each process of the distributed tests runs, and the same computation in one process.

In a file of its own, because a spawned process imports its function by name. Results go to files: `rank<r>.pt`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from hssl.errors import SizeError
from hssl.objectives import OBJECTIVES
from hssl.ranks import gather_rows, own_rows
from hssl.training.distributed import globalize_batch_norm

EXAMPLES = 12  # divisible by 1, 2 and 3
TEMPERATURE = 0.2
UNEQUAL = {1: (7,), 2: (5, 2), 3: (4, 0, 3)}  # rows of a rank; one without any
NORMS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "1d": (lambda: nn.BatchNorm1d(3), (7, 3)),
    "1d with length": (lambda: nn.BatchNorm1d(3), (7, 3, 4)),
    "2d": (lambda: nn.BatchNorm2d(3, momentum=0.3, eps=1e-2), (7, 3, 4, 2)),
    "3d": (lambda: nn.BatchNorm3d(3, momentum=None), (7, 3, 2, 3, 2)),
    "no affine": (lambda: nn.BatchNorm2d(3, affine=False), (7, 3, 2, 2)),
    "no running statistics": (lambda: nn.BatchNorm2d(3, track_running_stats=False), (7, 3, 2, 2)),
}


def images() -> Tensor:
    """Both views of all examples, [2, N, C, H, W]. The mean drifts with the example: local statistics differ."""
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(2, EXAMPLES, 2, 5, 5, generator=generator, dtype=torch.float64)
    return views + torch.linspace(-1, 2, EXAMPLES, dtype=torch.float64)[:, None, None, None]


def network() -> nn.Module:
    """Convolution, batch normalisation and a projector with one more: images [B, 2, 5, 5] to [B, 4]."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(),
        nn.Flatten(), nn.Linear(27, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4),
    ).double()  # fmt: skip


def project(module: nn.Module, views: Tensor) -> tuple[Tensor, Tensor]:
    """One forward pass for both views, so that they share batch statistics."""
    first, second = module(views.flatten(0, 1)).chunk(2)
    return first, second


def outcome(module: nn.Module, loss: Tensor) -> dict[str, Any]:
    """Value, parameter gradients and buffers after the backward pass of `loss`."""
    loss.backward()  # type: ignore[no-untyped-call]
    inner = module.module if isinstance(module, DistributedDataParallel) else module
    return {
        "loss": loss.detach(),
        "gradients": {name: parameter.grad for name, parameter in inner.named_parameters()},
        "buffers": dict(inner.named_buffers()),
    }


def without_gradient(tensor: Tensor) -> Tensor:
    """The usual mistake: the other ranks' rows arrive as constants."""
    parts = [torch.empty_like(tensor) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, tensor.detach())
    parts[distributed.get_rank()] = tensor
    return torch.cat(parts)


def train_step(
    name: str, *, gather: Callable[[Tensor], Tensor] = gather_rows, global_norm: bool = True
) -> dict[str, Any]:
    """One step on this rank's share; the loss is averaged over ranks for the record."""
    module = network()
    if global_norm:
        globalize_batch_norm(module)
    parallel = DistributedDataParallel(module)
    n_local = EXAMPLES // distributed.get_world_size()
    first, second = project(parallel, images()[:, own_rows(n_local)])
    loss = OBJECTIVES[name](gather(first), gather(second), temperature=TEMPERATURE, rows=own_rows(n_local))
    result = outcome(parallel, loss)
    distributed.all_reduce(result["loss"])
    result["loss"] /= distributed.get_world_size()
    return result


def norm_case(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """A norm with its own weights, an input [7, ...] and the gradient of its output."""
    build, shape = NORMS[name]
    generator = torch.Generator().manual_seed(2)
    norm = build().double()
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    x = 100 + torch.randn(shape, generator=generator, dtype=torch.float64)
    x += torch.arange(7, dtype=torch.float64).view(7, *[1] * (len(shape) - 1))
    return norm, x, torch.randn(shape, generator=generator, dtype=torch.float64)


def norm_pass(norm: nn.Module, x: Tensor, grad_y: Tensor, times: int = 2) -> dict[str, Any]:
    """Output, gradients and buffers after `times` passes (so that running statistics move more than once)."""
    for _ in range(times):
        x = x.detach().clone().requires_grad_()
        norm.zero_grad()
        y = norm(x)
        y.backward(grad_y)
    return {
        "y": y.detach(),
        "grad_x": x.grad,
        "gradients": {name: parameter.grad for name, parameter in norm.named_parameters()},
        "buffers": dict(norm.named_buffers()),
        "evaluated": norm.eval()(x).detach(),
    }


def norm_step(name: str, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    norm, *tensors = norm_case(name)
    rows, rank = UNEQUAL[distributed.get_world_size()], distributed.get_rank()
    x, grad_y = (tensor.split(rows)[rank].to(dtype) for tensor in tensors)
    return norm_pass(globalize_batch_norm(norm if dtype == torch.float64 else norm.float()), x, grad_y)


def gather_step() -> dict[str, Any]:
    """Gathered rows, and the gradient of a loss that weighs every row differently on every rank."""
    rank, world = distributed.get_rank(), distributed.get_world_size()
    own = (torch.arange(6, dtype=torch.float64).view(2, 3) + 10 * rank).requires_grad_()
    gathered = gather_rows(own)
    weights = (rank + 1) * torch.arange(world * 6, dtype=torch.float64).view(-1, 3)
    (gathered * weights).sum().backward()  # type: ignore[no-untyped-call]
    labels = gather_rows(torch.tensor([rank, rank + 10]))
    message = None
    try:
        gather_rows(torch.zeros(2 + rank, 3))
    except SizeError as error:
        message = str(error)
    return {"gathered": gathered.detach(), "gradient": own.grad, "labels": labels, "refusal": message}


@contextmanager
def process_group(rank: int, world: int, folder: Path) -> Iterator[None]:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'rendezvous'}", rank=rank, world_size=world)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def run(rank: int, world: int, folder: Path) -> None:
    """Everything the tests compare, once: starting processes is the expensive part."""
    with process_group(rank, world, folder):
        results: dict[str, Any] = {"rows": (own_rows(4).start, own_rows(4).stop), "gather": gather_step()}
        for name in OBJECTIVES:
            results[name] = train_step(name)
            results[f"{name}, no gradient"] = train_step(name, gather=without_gradient)
            results[f"{name}, local norm"] = train_step(name, global_norm=False)
        for name in NORMS:
            results[f"norm {name}"] = norm_step(name)
        results["norm bfloat16"] = norm_step("2d", torch.bfloat16)
        torch.save(results, folder / f"rank{rank}.pt")
