"""What can be chosen of each method, and what is known of it without building it. Imports no torch."""

import math
from typing import ClassVar, Literal

from pydantic import Field

from hssl.settings import PartSettings


class MethodSettings(PartSettings):
    """What every method says of itself."""

    takes_pairs: ClassVar[bool] = True
    """Whether it trains on positive pairs, so that there are views."""
    takes_labels: ClassVar[bool] = False
    """Whether it cannot train without labels."""
    trains_backbone: ClassVar[bool] = True
    """Whether the network changes; one that stays random has its BatchNorm statistics measured instead."""

    def untrained_loss(self, batch_size: int) -> float | None:
        """The loss of a network that tells nothing apart; None where no such number is known."""
        return None


class ContrastiveSettings(MethodSettings):
    """The paper's method, and SimCLR's relative of it."""

    name: str = "contrastive"
    objective: Literal["contrastive", "nt-xent"] = Field(
        default="contrastive",
        description="contrastive: equations 2 and 3, the positive pair is not in the denominator; nt-xent: SimCLR's",
    )
    temperature: float = Field(default=0.1, gt=0, description="tau, the temperature of the softmax")

    def untrained_loss(self, batch_size: int) -> float | None:
        """log of the number of terms in the denominator: all similarities are equal."""
        return math.log(4 * (batch_size - 1) if self.objective == "contrastive" else 2 * batch_size - 1)


class SupervisedSettings(MethodSettings):
    """Labels train the network through its readout."""

    takes_pairs: ClassVar[bool] = False
    takes_labels: ClassVar[bool] = True
    name: str = "supervised"


class FrozenSettings(MethodSettings):
    """Random weights."""

    takes_pairs: ClassVar[bool] = False
    takes_labels: ClassVar[bool] = True
    trains_backbone: ClassVar[bool] = False
    name: str = "frozen"
