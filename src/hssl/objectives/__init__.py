"""Objectives: pure functions of two views' projections to a scalar, with a thin module over each.

They know neither groups nor distribution: who trains on several devices gathers first and hands plain tensors over.
"""

from collections.abc import Mapping
from types import MappingProxyType

from hssl.objectives.contrastive import Contrastive, NTXent, PairObjective, contrastive, nt_xent

OBJECTIVES: Mapping[str, PairObjective] = MappingProxyType({"contrastive": contrastive, "nt-xent": nt_xent})

__all__ = ["OBJECTIVES", "Contrastive", "NTXent", "PairObjective", "contrastive", "nt_xent"]
