"""LARS, the optimizer of the paper (appendix B).

References:
    You, Gitman, Ginsburg, 'Large Batch Training of Convolutional Networks', 2017, arXiv:1708.03888, algorithm 1.
    Chen, Kornblith, Norouzi, Hinton, 'A Simple Framework for Contrastive Learning', ICML 2020, section 2.2.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from hssl.errors import ConfigurationError
from hssl.optimizers.settings import LARSSettings, OptimizerSettings


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling with momentum, as SimCLR uses it. For each parameter tensor w with gradient g:

        d = g + weight_decay * w
        r = trust_coefficient * |w| / |d|, or 1 where either norm is 0 or the group has `adapt` off
        v = momentum * v + lr * r * d
        w = w - v

    The learning rate stands inside the momentum, unlike in `torch.optim.SGD`, because both sources put it there and the
    published learning rates go with it. The two agree while the rate is constant; when it changes, the velocity here
    keeps each gradient at the rate it arrived with. |d| is SimCLR's; You et al. have |g| + weight_decay |w| instead.

    `build_optimizer` switches decay and adaptation off for biases and norms. A step reads nothing back from
    the device. Parameters without a gradient are left alone.

    Args:
        params: parameters or groups of them; a group can set any of the values below for itself.
        lr: learning rate, >= 0.
        momentum: in [0, 1).
        weight_decay: >= 0, added to the gradient (L2), so it enters the norm |d|.
        trust_coefficient: > 0.
        adapt: whether r is computed (True) or 1 (False).

    Raises:
        ConfigurationError: a value out of range, in the defaults or in a group, or a sparse gradient.
    """

    Settings: ClassVar[type[OptimizerSettings]] = LARSSettings

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.1,
        *,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        trust_coefficient: float = 1e-3,
        adapt: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "adapt": adapt,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:
            _check_range("lr", group["lr"], ">= 0", group["lr"] >= 0)
            _check_range("momentum", group["momentum"], "in [0, 1)", 0 <= group["momentum"] < 1)
            _check_range("weight_decay", group["weight_decay"], ">= 0", group["weight_decay"] >= 0)
            _check_range("trust_coefficient", group["trust_coefficient"], "> 0", group["trust_coefficient"] > 0)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient; returns the closure's loss, if one is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            # Fused list operations want one device and one dtype.
            alike: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault((parameter.device, parameter.dtype), []).append(parameter)
            for parameters in alike.values():
                self._update(parameters, group)
        return loss

    def _update(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        directions = [_dense_gradient(parameter) for parameter in parameters]
        velocities = [self._velocity(parameter) for parameter in parameters]
        if group["weight_decay"]:
            directions = list(torch._foreach_add(directions, parameters, alpha=group["weight_decay"]))
        if group["adapt"]:
            weight_norms = torch.stack(torch._foreach_norm(parameters))
            direction_norms = torch.stack(torch._foreach_norm(directions))
            ratios = torch.where(
                (weight_norms > 0) & (direction_norms > 0),
                group["trust_coefficient"] * weight_norms / direction_norms,
                1.0,
            )
            directions = list(torch._foreach_mul(directions, list(ratios.unbind())))
        torch._foreach_mul_(velocities, group["momentum"])
        torch._foreach_add_(velocities, directions, alpha=group["lr"])
        torch._foreach_sub_(parameters, velocities)

    def _velocity(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        velocity: Tensor = state["velocity"]
        return velocity


def _dense_gradient(parameter: Tensor) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None
    if gradient.is_sparse:
        raise ConfigurationError(
            "LARS needs the norm of a whole gradient",
            got=f"a sparse gradient for a parameter of shape {tuple(parameter.shape)}",
            hint="build the embedding with sparse=False",
        )
    return gradient


def _check_range(name: str, value: float, expected: str, holds: bool) -> None:
    if not holds:
        raise ConfigurationError(f"'{name}' is out of range", got=value, expected=expected)
