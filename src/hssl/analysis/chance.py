"""Whether a loss learned anything: its value where all pairs look alike, as the method tells it."""

from __future__ import annotations

from collections.abc import Sequence

from hssl.config import parse
from hssl.errors import ConfigurationError
from hssl.runs.record import RunRecord

_NEAR = 0.05


def chance_loss(record: RunRecord) -> float | None:
    """The loss of a batch whose similarities are all equal, in nats; None where a run has no contrastive loss.

    Equations 2 and 3 have the 4 (B - 1) pairs of an example with all others in the denominator, NT-Xent the 2 B - 1
    of an anchor, its positive among them. With B of the part of a batch that sees each other.
    """
    try:
        config = parse(record.configuration)
    except ConfigurationError:  # of a method that is not here
        return None
    return config.method.untrained_loss(config.trainer.batch_size // config.trainer.accumulate)


def ended_at_chance(record: RunRecord) -> bool:
    """Whether the loss of the last epoch is no lower than chance, to within a twentieth of a nat."""
    chance = chance_loss(record)
    losses = [line["train/loss"] for line in record.metrics if line.get("train/loss") is not None]
    return chance is not None and bool(losses) and float(losses[-1]) > chance - _NEAR


def mostly_at_chance(records: Sequence[RunRecord]) -> bool:
    """Whether more than half of the runs ended there."""
    return 2 * sum(map(ended_at_chance, records)) > len(records)
