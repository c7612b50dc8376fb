"""From settings to an optimizer of a module, and the schedule of the paper: linear warm-up, then cosine decay.

Reference:
    Loshchilov, Hutter, 'SGDR: Stochastic Gradient Descent with Warm Restarts', ICLR 2017, equation 5.
"""

import math
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from hssl.errors import ConfigurationError
from hssl.optimizers.settings import OptimizerSettings
from hssl.parts import fields, load

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def build_optimizer(settings: OptimizerSettings, module: nn.Module) -> Optimizer:
    """The optimizer of a module's parameters. Biases and norms are not decayed; they may have a rate of their own.

    One's own is called as `MyOptimizer(groups, lr, **what its Settings add to those of every optimizer)`.
    """
    groups = parameter_groups(module, settings.weight_decay)
    if settings.norm_learning_rate is not None:
        groups[1]["lr"] = settings.norm_learning_rate
    own = {name: value for name, value in fields(settings).items() if name not in OptimizerSettings.model_fields}
    optimizer: Optimizer = load("optimizer", settings.name)(groups, settings.learning_rate, **own)
    return optimizer


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters of `module` in two groups, each parameter once, in the order of `parameters()`.

    First the weights, decayed and (by `LARS`) adapted; then, with neither, the biases, all tensors of fewer than two
    axes and all parameters of norms (the lists of You et al. 2017 and SimCLR).
    """
    of_norms = {
        parameter
        for part in module.modules()
        if isinstance(part, _NORMS)
        for parameter in part.parameters(recurse=False)
    }
    weights: list[nn.Parameter] = []
    exempt: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        is_bias = name.rpartition(".")[2] == "bias"
        (exempt if is_bias or parameter.ndim < 2 or parameter in of_norms else weights).append(parameter)
    return [
        {"params": weights, "weight_decay": weight_decay, "adapt": True},
        {"params": exempt, "weight_decay": 0.0, "adapt": False},
    ]


def warmup_cosine(step: int, *, total_steps: int, warmup_steps: int) -> float:
    """The factor on the learning rate at `step` (counted from 0): step / warmup_steps, then half a cosine.

    Exactly 0 at step 0 (if there is a warm-up), 1 at `warmup_steps`, 0 from `total_steps` on.

    Raises:
        ConfigurationError: no step at all, a negative one, or a warm-up that is longer than the training.
    """
    if total_steps < 1 or not 0 <= warmup_steps <= total_steps:
        raise ConfigurationError(
            "the warm-up has to fit into the training",
            got=f"warmup_steps = {warmup_steps}, total_steps = {total_steps}",
            expected="0 <= warmup_steps <= total_steps, total_steps >= 1",
            hint="lower optimizer.warmup_epochs or raise trainer.epochs",
        )
    if step < 0:
        raise ConfigurationError("steps are counted from 0", got=f"step {step}")
    if step >= total_steps:
        return 0.0
    if step < warmup_steps:
        return step / warmup_steps
    return (1 + math.cos(math.pi * (step - warmup_steps) / (total_steps - warmup_steps))) / 2


def warmup_cosine_schedule(optimizer: Optimizer, *, total_steps: int, warmup_steps: int) -> LambdaLR:
    """`warmup_cosine` on every group's learning rate. Call the schedule's `step()` after each optimizer step."""
    return LambdaLR(optimizer, partial(warmup_cosine, total_steps=total_steps, warmup_steps=warmup_steps))
