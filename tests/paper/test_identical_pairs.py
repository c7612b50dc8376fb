"""The share of identical pairs against the base spaces that the runs draw from, and against their draws."""

import pytest
import torch

from hssl.groups import BaseSpace, Product
from hssl.paper.grid import Cell, cells
from hssl.paper.identical_pairs import identical_pairs
from hssl.training.build import build_backbone
from hssl.views import FiberViews

POINTS = cells(["figure2-base-space", "figure2-distance"], ["mnist", "cifar10"], budget="smoke")


@pytest.mark.parametrize("cell", POINTS, ids=lambda cell: f"{cell.artefact}-{cell.run}")
def test_it_is_that_of_the_runs_own_base_space(cell: Cell) -> None:
    config = cell.configuration("smoke", 0, {})
    group = build_backbone(config, 1 if cell.dataset == "mnist" else 3).feature_group
    along = group.first if isinstance(group, Product) else group
    views = FiberViews(BaseSpace(along, config.views.base_size), config.views.max_distance, config.views.distance)
    count = 20_000
    pairs = views.draw(count, torch.Generator().manual_seed(0))
    drawn = float((pairs.positions_1 == pairs.positions_2).all(dim=1).double().mean())
    expected = identical_pairs(cell)
    assert abs(drawn - expected) < 5 * (expected * (1 - expected) / count) ** 0.5
    # Drawn finely enough to tell the point from others of its row.
    others = {identical_pairs(other) for other in POINTS if other.stem == cell.stem and other.artefact == cell.artefact}
    assert cell.transformation == "rotation" or len(others) > 4
