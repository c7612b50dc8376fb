"""Mean and standard deviation of each channel, exact, from one histogram a channel."""

import torch
from torch import Tensor

from hssl.data.store import images_at_once
from hssl.shapes import StoredImages


def channel_counts(images: StoredImages) -> Tensor:
    """How often each of the 256 values occurs in each channel of uint8 [N, C, H, W]: float64 [C, 256]."""
    channels = images.shape[1]
    counts = torch.zeros(channels, 256, dtype=torch.float64, device=images.device)
    for chunk in torch.split(images, images_at_once(*images.shape[1:])):
        for channel in range(channels):
            counts[channel] += torch.bincount(chunk[:, channel].flatten().int(), minlength=256)
    return counts


def statistics_of(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation of each channel, in units of pixel / 255.

    A channel of one single value gets std 1: it becomes zero instead of dividing by zero.

    Args:
        counts: float64 [C, 256] of `channel_counts`, or the sum of several: whole numbers, so that the result is exact
            and does not depend on how the images were divided.

    Returns:
        two float32 [C] on the device of the counts.
    """
    values = torch.arange(256, dtype=torch.float64, device=counts.device) / 255
    share = counts / counts.sum(1, keepdim=True)
    mean = share @ values
    std = (share * (values - mean[:, None]).square()).sum(1).sqrt()
    return mean.float(), torch.where(std > 0, std, torch.ones_like(std)).float()


def channel_statistics(images: StoredImages) -> tuple[Tensor, Tensor]:
    """`statistics_of` all images of uint8 [N, C, H, W]."""
    return statistics_of(channel_counts(images))
