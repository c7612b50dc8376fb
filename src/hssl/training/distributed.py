"""Batch statistics that are those of the joined batch of several processes."""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hssl.errors import ConfigurationError, SizeError
from hssl.groups import GroupFeatures
from hssl.layers import GroupBatchNorm
from hssl.ranks import all_gather, world_size


class GlobalBatchNorm(_BatchNorm):
    """Batch normalisation of [B, C, ...] whose training statistics are those of the joined batch of all ranks.

    Equals `nn.BatchNorm1d/2d/3d` on the joined batch in values, gradients and running statistics, and has the same
    parameters, buffers and state_dict keys, on every backend and with different batch sizes on the ranks. Outside
    training and with one rank it is plain batch normalisation. Each rank's weight and bias receive the gradient of that
    rank's outputs only; DistributedDataParallel joins them, as it does for every parameter.

    Statistics are float32 for half inputs. One collective a forward pass, one a backward pass. First derivatives only.

    Raises:
        SizeError: an input that is not [B, num_features, ...].
    """

    def forward(self, input: Tensor | GroupFeatures) -> Any:
        if isinstance(input, GroupFeatures):
            return input.replaced(self.forward(input.settled))
        self._check_input_dim(input)
        if not self.training or world_size() == 1:
            return super().forward(input)
        normalised, mean, variance, count = _normalise_over_ranks(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._track(mean, variance, count)
        return normalised

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        dtype = self.running_mean.dtype
        share = (
            1 / self.num_batches_tracked.to(dtype)
            if self.momentum is None
            else torch.full((), self.momentum, dtype=dtype, device=mean.device)
        )
        unbiased = variance * (count / (count - 1).clamp(min=1))
        self.running_mean.lerp_(mean.to(dtype), share)
        self.running_var.lerp_(unbiased.to(dtype), share)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2 or input.shape[1] != self.num_features:
            raise SizeError(
                "batch normalisation got other channels than it was built for",
                got=tuple(input.shape),
                expected=f"[B, {self.num_features}, ...]",
            )


# `GroupBatchNorm` differs from its parent in memory layout alone; on [B, C, ...] the two are the same function.
_REPLACEABLE = (_BatchNorm.forward, nn.SyncBatchNorm.forward, GroupBatchNorm.forward, GlobalBatchNorm.forward)


def globalize_batch_norm(module: nn.Module) -> nn.Module:
    """Turns every batch normalisation in `module` into a `GlobalBatchNorm`, in place, and returns `module`.

    The layers stay the same objects: parameters, buffers, hooks and shared references live on, before or after an
    optimizer was built.

    Raises:
        ConfigurationError: a batch normalisation with a forward of its own, whose statistics would stay local; nothing
            is changed then.
    """
    layers = {name: part for name, part in module.named_modules() if isinstance(part, _BatchNorm)}
    foreign = [
        f"{name or 'the module itself'} ({type(part).__name__})"
        for name, part in layers.items()
        if type(part).forward not in _REPLACEABLE
    ]
    if foreign:
        raise ConfigurationError(
            "these batch normalisations have a forward of their own and would keep the statistics of one rank",
            got=", ".join(foreign),
            expected="nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d",
            hint="let the layer hold an nn.BatchNorm as a child, or train on one device",
        )
    for part in layers.values():
        part.__class__ = GlobalBatchNorm
    return module


class _NormaliseOverRanks(torch.autograd.Function):
    """(x [B, C, ...], weight [C], bias [C], eps) -> (y, joined mean [C], biased variance [C], count [])."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = _widened(x)
        mean, variance, count = _joined_statistics(wide)
        inverse_deviation = (variance + eps).rsqrt()
        y = (wide - _over_channels(mean, x)) * _over_channels(inverse_deviation, x)
        if weight is not None:
            y = y * _over_channels(weight, x)
        if bias is not None:
            y = y + _over_channels(bias, x)
        ctx.save_for_backward(x, weight, bias, mean, inverse_deviation, count)
        ctx.mark_non_differentiable(mean, variance, count)
        return y.to(x.dtype), mean, variance, count

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_y: Tensor, *_: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight, bias, mean, inverse_deviation, count = ctx.saved_tensors
        grad_y, axes = _widened(grad_y), _axes_but_channels(x)
        normalised = (_widened(x) - _over_channels(mean, x)) * _over_channels(inverse_deviation, x)
        # Both rows [C]: the gradients of bias and weight, and what the statistics pass back to every example.
        sums = torch.stack([grad_y.sum(axes), (grad_y * normalised).sum(axes)])
        grad_bias = None if bias is None else sums[0].to(bias.dtype)
        grad_weight = None if weight is None else sums[1].to(weight.dtype)
        if not ctx.needs_input_grad[0]:
            return None, grad_weight, grad_bias, None
        joined = sums.clone()
        distributed.all_reduce(joined)
        shift, slope = joined / count
        scale = inverse_deviation if weight is None else inverse_deviation * weight
        grad_x = grad_y - _over_channels(shift, x) - normalised * _over_channels(slope, x)
        return (grad_x * _over_channels(scale, x)).to(x.dtype), grad_weight, grad_bias, None


def _normalise_over_ranks(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    result: tuple[Tensor, Tensor, Tensor, Tensor] = _NormaliseOverRanks.apply(x, weight, bias, eps)  # type: ignore[no-untyped-call]
    return result


def _joined_statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [C], biased variance [C] and count [] over all ranks, from one exchange of the ranks' own three.

    The pairwise update of Chan, Golub and LeVeque (1983), not E[x^2] - E[x]^2, which cancels for large means.
    """
    channels, axes = x.shape[1], _axes_but_channels(x)
    n_local = x.numel() // max(channels, 1)
    # A rank without examples has no mean, but takes part in the exchange.
    variance, mean = (
        torch.var_mean(x, axes, correction=0) if n_local else (x.new_zeros(channels), x.new_zeros(channels))
    )
    ranks = all_gather(torch.cat([mean, variance, x.new_full((1,), n_local)]))
    means, variances, counts = ranks[:, :channels], ranks[:, channels:-1], ranks[:, -1:]
    count = counts.sum()
    shares = counts / count
    joined_mean = (shares * means).sum(0)
    joined_variance = (shares * (variances + (means - joined_mean).square())).sum(0)
    return joined_mean, joined_variance, count


def _widened(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _axes_but_channels(x: Tensor) -> list[int]:
    return [axis for axis in range(x.ndim) if axis != 1]


def _over_channels(values: Tensor, x: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (x.ndim - 2))
