"""An encoder that remembers what it was shown, for the tests of views."""

import torch
from torch import Tensor

from hssl.groups import Group, GroupFeatures


class CountingEncoder:
    """Features that tell image, channel and element apart: value = 1000 mean(image) + 100 channel + element."""

    def __init__(self, group: Group, channels: int = 3) -> None:
        self.group, self.channels = group, channels
        self.seen: list[Tensor] = []

    def __call__(self, images: Tensor) -> GroupFeatures:
        self.seen.append(images)
        elements = torch.arange(self.group.order, dtype=images.dtype)
        channels = torch.arange(self.channels, dtype=images.dtype)
        values = (
            1000 * images.mean(dim=(1, 2, 3))[:, None, None] + 100 * channels[None, :, None] + elements[None, None, :]
        )
        return GroupFeatures(values.reshape(len(images), self.channels, *self.group.axes), self.group)
