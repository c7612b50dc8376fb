"""BatchNorm statistics of a network that was not trained (docs/decisions.md, row 10)."""

from __future__ import annotations

import torch
from torch import nn

from hssl.data import Store

_CHUNK = 256


@torch.no_grad()
def calibrate(network: nn.Module, store: Store) -> None:
    """BatchNorm statistics of an untrained network from one pass over the training images (decision 10).

    The cumulative average over batches of equal size (to within one image); the network is left in eval mode.
    """
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [part.momentum for part in norms]
    for part in norms:
        part.reset_running_stats()
        part.momentum = None
    network.train()
    # Each batch weighs the same in the average, so a short last one would count for more than its images.
    batches = -(-len(store) // _CHUNK)
    for indices in torch.arange(len(store), device=store.device).tensor_split(batches):
        network(store.batch(indices))
    for part, momentum in zip(norms, momenta, strict=True):
        part.momentum = momentum
    network.eval()
