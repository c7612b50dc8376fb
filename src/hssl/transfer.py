"""Tensors on their way to a device."""

from __future__ import annotations

import torch
from torch import Tensor


def moved(values: Tensor, device: torch.device) -> Tensor:
    """The values on `device`, copied without making the host wait for what a GPU still has to do.

    A copy from pageable memory is queued only once the host has put it aside, which may wait for all work before it.
    """
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)
