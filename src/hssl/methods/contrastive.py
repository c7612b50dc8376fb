"""The paper's method: pull the two views of an example together, push other examples away (equations 2 and 3).

A-SSL, H-SSL and hybrid are this with other views.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from hssl.backbones import Backbone
from hssl.methods.method import Method, Step
from hssl.methods.settings import ContrastiveSettings, MethodSettings
from hssl.objectives import OBJECTIVES
from hssl.ranks import gather_rows, own_rows
from hssl.views import Pairs, Views


class Contrastive(Method):
    """Backbone, views, projector h, objective.

    Args:
        backbone, views, classes: as in `Method`.
        objective: a name in `hssl.objectives.OBJECTIVES`.
        temperature: tau.
    """

    Settings: ClassVar[type[MethodSettings]] = ContrastiveSettings
    views: Views

    def __init__(
        self, backbone: Backbone, views: Views, classes: int | None, *, objective: str, temperature: float
    ) -> None:
        super().__init__(backbone, views, classes)
        self.objective, self.temperature = OBJECTIVES[objective], temperature
        self.projector = backbone.build_projector(views.base.size)

    def step(
        self, images: Tensor, labels: Tensor | None, pairs: Pairs | None, backward: Callable[[Tensor], None]
    ) -> Step:
        assert pairs is not None
        bundles = self.views(images, self.backbone, pairs)
        projections = self.projector(torch.cat([bundles.first, bundles.second]))
        first, second = (gather_rows(part) for part in projections.chunk(2))
        loss = self.objective(first, second, temperature=self.temperature, rows=own_rows(len(images)))
        return Step(loss, bundles.features)
