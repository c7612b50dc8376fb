"""The device that a run computes on."""

from __future__ import annotations

import torch

from hssl.config import Config


def device_of(config: Config) -> torch.device:
    """The first GPU where the run may have one and there is one, else the CPU."""
    use_gpu = config.trainer.accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if use_gpu else "cpu")
