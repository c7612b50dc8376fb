"""The feature maps of a store's images, read like images: computed once where they fit into memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import torch
from torch import Tensor

from hssl.data.store import Store
from hssl.memory import available_memory
from hssl.shapes import Labels

_IMAGES_AT_ONCE = 256


class FeatureStore(Store):
    """What a network makes of some images of a store. `batch` gives features where the store gives images.

    Args:
        encode: images [B, C, H, W] to features [B, ...] of a network in eval mode; called without gradients.
        images: the store, on the network's device.
        chosen: int64 [N], which images; None for all.
        room: bytes that may be kept; None for an eighth of the memory that is left on a CPU, half on a GPU. Features
            that need more are computed anew whenever they are read, which gives the same ones.

    Attributes:
        kept: whether the features are in memory.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Tensor],
        images: Store,
        chosen: Tensor | None = None,
        room: int | None = None,
    ) -> None:
        self._encode, self._images = encode, images
        self._chosen = torch.arange(len(images)) if chosen is None else chosen
        self._chosen = self._chosen.to(images.device)
        self.labels: Labels | None = None if images.labels is None else images.labels[self._chosen]
        self.class_names = images.class_names
        self.mean, self.std = images.mean, images.std
        self._values: Tensor | None = None
        if len(self._chosen):
            one = self._computed(torch.zeros(1, dtype=torch.long, device=images.device))
            if one.element_size() * one.numel() * len(self) <= (_room(images.device) if room is None else room):
                parts = torch.split(torch.arange(len(self), device=images.device), _IMAGES_AT_ONCE)
                self._values = torch.cat([self._computed(part) for part in parts])

    @property
    def kept(self) -> bool:
        return self._values is not None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W) of the images."""
        _, channels, height, width = self._images.shape
        return len(self._chosen), channels, height, width

    @property
    def device(self) -> torch.device:
        return self._images.device

    def to(self, device: torch.device | str) -> NoReturn:
        raise NotImplementedError("features stay where their network is")

    def pixels(self, indices: Tensor) -> Tensor:
        """The bytes of the images that the features are of."""
        return self._images.pixels(self._chosen[indices])

    def batch(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Features [B, ...] of the images at `indices`."""
        values = self._computed(indices) if self._values is None else self._values[indices]
        return values.to(dtype)

    def _computed(self, indices: Tensor) -> Tensor:
        # no_grad, not inference_mode: what is fitted on these tensors needs them in its backward pass.
        with torch.no_grad():
            return self._encode(self._images.batch(self._chosen[indices])).detach()


def _room(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    # Several runs may be measured at once.
    return (available_memory() or 2**33) // 8
