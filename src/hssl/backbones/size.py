"""How large a network is, for people who are about to train it."""

from __future__ import annotations

from torch import nn

MANY_WEIGHTS = 100_000_000


def count_weights(module: nn.Module) -> int:
    """Numbers in the module's parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def is_large(module: nn.Module) -> bool:
    """Whether the memory of the weights alone is worth a word before a run starts: more than 100 million of them."""
    return count_weights(module) > MANY_WEIGHTS


def describe_size(module: nn.Module) -> str:
    """Weights and rough memory in a line; a frozen weight has neither a gradient nor an optimizer's state.

    Training holds the weights, their gradients and the optimizer's state, one number a weight for momentum (LARS) or
    two (AdamW). Activations, which grow with the batch, come on top.
    """
    weights = count_weights(module)
    held = sum(parameter.nbytes for parameter in module.parameters())
    trained = sum(parameter.nbytes for parameter in module.parameters() if parameter.requires_grad)
    memory = f"{_spelled(weights)} weights, {_gib(held)}"
    if not trained:
        return f"{memory}, none of them trained"
    lars, adamw = _gib(held + 2 * trained), _gib(held + 3 * trained)
    return f"{memory}; {lars} to train with LARS, {adamw} with AdamW, and activations"


def _spelled(count: int) -> str:
    return f"{count / 1e6:.1f} million" if count >= 1e5 else f"{count:,}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.1f} MiB"
