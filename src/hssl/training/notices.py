"""Notices of Lightning and torch that nobody who trains can act on. Imports neither."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = (
    "lightning",
    "lightning.pytorch",
    "lightning.fabric",
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.rank_zero",
    "pytorch_lightning",
)


@contextmanager
def without_notices() -> Iterator[None]:
    """Keeps tips and warnings of the libraries below quiet; their errors, and whatever is ours, still show."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(lightning|torch|torchmetrics|tensorboard)(\.|$)")
        # Lightning lays some of its warnings at the door of whoever called it.
        warnings.filterwarnings("ignore", message=".*(does not have many workers|log_every_n_steps|tensorboard).*")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
