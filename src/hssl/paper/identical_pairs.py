"""How many of the pairs that figure 2's points draw are no pair at all: g1 = g2. Imports no torch."""

from __future__ import annotations

from itertools import product

from hssl.groups.settings import PAPER_SCALES
from hssl.paper import numbers as paper
from hssl.paper.grid import Cell
from hssl.views.settings import FiberViewsSettings

MAP_SIDES: dict[paper.Dataset, int] = {"mnist": 8, "cifar10": 7, "tiny-imagenet": 4}
"""Positions along one axis of the feature maps that translations move on."""
_ROTATIONS = 4


def identical_pairs(cell: Cell) -> float:
    """The share of H-SSL's pairs with g1 = g2, whose two fiber bundles are the same vectors, between 0 and 1.

    Both are uniform over the placements of g0 (decisions 3 and 14), or over the pairs within reach (decision 15). It
    changes along both axes of figure 2, and with it how many pairs have anything to bring together.

    Args:
        cell: a point of figure 2.
    """
    extent = int(cell.value or 1) if cell.artefact == "figure2-base-space" else 1
    axes: list[list[float]]
    if cell.transformation == "rotation":
        axes = [[float(turn) for turn in range(_ROTATIONS)]]  # cyclic: g0 fits everywhere
    elif cell.transformation == "scale":
        axes = [list(PAPER_SCALES[: len(PAPER_SCALES) - extent + 1])]
    else:
        axes = 2 * [[float(step) for step in range(MAP_SIDES[cell.dataset] - extent + 1)]]
    places = list(product(*axes))
    assert cell.budget is not None
    # Short budgets pair near places of translations along the other axis too.
    views = cell.configuration(cell.budget, 0, {}).views
    largest = views.max_distance if isinstance(views, FiberViewsSettings) else None
    reach = float("inf") if largest is None else largest + 1e-9
    within = sum(
        sum((x - y) ** 2 for x, y in zip(one, other, strict=True)) <= reach for one in places for other in places
    )
    return len(places) / within
