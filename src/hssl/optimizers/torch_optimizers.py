"""Optimizers of torch, with their lists of tensors updated together."""

from collections.abc import Iterable
from typing import Any, ClassVar

from torch import optim

from hssl.optimizers.settings import AdamWSettings, OptimizerSettings, SGDSettings


class SGD(optim.SGD):
    """`torch.optim.SGD`."""

    Settings: ClassVar[type[OptimizerSettings]] = SGDSettings

    def __init__(self, params: Iterable[dict[str, Any]], lr: float, *, momentum: float) -> None:
        super().__init__(params, lr=lr, momentum=momentum, foreach=True)


class AdamW(optim.AdamW):
    """`torch.optim.AdamW`: Loshchilov, Hutter, 'Decoupled Weight Decay Regularization', ICLR 2019, algorithm 2."""

    Settings: ClassVar[type[OptimizerSettings]] = AdamWSettings

    def __init__(self, params: Iterable[dict[str, Any]], lr: float, *, beta_1: float, beta_2: float) -> None:
        super().__init__(params, lr=lr, betas=(beta_1, beta_2), foreach=True)
