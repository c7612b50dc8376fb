"""Whether a contrastive loss learned anything: its value where all pairs look alike. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hssl.runs.record import RunRecord

CONTRASTIVE = ("a-ssl", "h-ssl", "hybrid")
_NEAR = 0.05


def chance_loss(record: RunRecord) -> float | None:
    """The loss of a batch whose similarities are all equal, in nats; None where a run has no contrastive loss.

    Equations 2 and 3 have the 4 (B - 1) pairs of an example with all others in the denominator, NT-Xent the 2 B - 1
    of an anchor, its positive among them. With B of the part of a batch that sees each other.
    """
    if record.mode not in CONTRASTIVE:
        return None
    trainer = record.configuration["trainer"]
    batch = trainer["batch_size"] // int(trainer.get("accumulate") or 1)
    return math.log(2 * batch - 1 if record.configuration["objective"]["name"] == "nt_xent" else 4 * (batch - 1))


def ended_at_chance(record: RunRecord) -> bool:
    """Whether the loss of the last epoch is no lower than chance, to within a twentieth of a nat."""
    chance = chance_loss(record)
    losses = [line["train/loss"] for line in record.metrics if line.get("train/loss") is not None]
    return chance is not None and bool(losses) and float(losses[-1]) > chance - _NEAR


def mostly_at_chance(records: Sequence[RunRecord]) -> bool:
    """Whether more than half of the runs ended there."""
    return 2 * sum(map(ended_at_chance, records)) > len(records)
