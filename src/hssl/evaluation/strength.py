"""How much a transformation changes features at all: what a law that holds is read against.

f(T_g x) = Γ_g f(x) holds with Γ_g = 1 for features that a transformation does not change, whatever else they are.
"""

from collections.abc import Mapping

# The figure's name in a report's context, 'element: strength of the action': ||f(T_g x) - f(x)|| over the spread that
# the error of the same element is relative to. Unrelated features are at about 1.4.
STRENGTH = "strength of the action"

# Below this a transformation changes the features by less than a thousandth of how they vary.
NOTHING = 1e-3


def strengths(context: Mapping[str, float | None]) -> dict[str, float]:
    """By element, from the context of a report; empty for a report that is older than the measure or not finite."""
    ending = f": {STRENGTH}"
    return {
        name.removesuffix(ending): value
        for name, value in context.items()
        if name.endswith(ending) and value is not None
    }


def changes_nothing(context: Mapping[str, float | None]) -> bool:
    """Whether no element changes the features: a law that holds there is no achievement. False where it is unknown."""
    found = strengths(context).values()
    return bool(found) and max(found) < NOTHING
