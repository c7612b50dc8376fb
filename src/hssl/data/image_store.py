"""All images of a split as one uint8 tensor, cut and normalised on the device that holds it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hssl.errors import DataError
from hssl.shapes import Images, Labels, StoredImages

_CHUNK = 8192


@dataclass(frozen=True, repr=False)
class ImageStore:
    """Decoded images with their labels; a batch is an index away and needs no loader process.

    Attributes:
        images: uint8 [N, C, H, W], square, at the configured resolution.
        labels: int64 [N] with values in 0 .. len(class_names) - 1, or None when the images carry no labels.
        mean: float32 [C] in units of pixel / 255, subtracted by `batch`.
        std: float32 [C] in units of pixel / 255, divided by in `batch`.
        class_names: the name of each label; empty without labels.

    Raises:
        DataError: tensors whose shapes or types do not belong together.
    """

    images: StoredImages
    labels: Labels | None
    mean: Tensor
    std: Tensor
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4 or self.images.shape[2] != self.images.shape[3]:
            raise DataError(
                "an image store holds square images as bytes",
                arrived=f"{self.images.dtype} {tuple(self.images.shape)}",
                accepted="torch.uint8 [N, C, H, H]",
            )
        if self.labels is not None and self.labels.shape != self.images.shape[:1]:
            raise DataError(
                "images and labels of a store differ in number",
                arrived=f"{len(self.images)} images, labels {tuple(self.labels.shape)}",
            )
        channels = (self.images.shape[1],)
        if self.mean.shape != channels or self.std.shape != channels:
            raise DataError(
                "mean and std of a store have one entry a channel",
                arrived=f"mean {tuple(self.mean.shape)}, std {tuple(self.std.shape)}",
                accepted=f"{channels}",
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        labels = f"{len(self.class_names)} classes" if self.labels is not None else "no labels"
        return f"ImageStore({' x '.join(map(str, self.images.shape))} uint8 on {self.images.device}, {labels})"

    def to(self, device: torch.device | str) -> "ImageStore":
        """The same store with every tensor on `device`."""
        return replace(
            self,
            images=self.images.to(device),
            labels=None if self.labels is None else self.labels.to(device),
            mean=self.mean.to(device),
            std=self.std.to(device),
        )

    def batch(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Images:
        """Normalised images at `indices`: (pixel / 255 - mean) / std.

        Args:
            indices: int64 [B] on the store's device; nothing here makes the host wait for the device.
            dtype: of the result. Types below float32 are rounded once, at the end.

        Returns:
            [B, C, H, W] of `dtype`.
        """
        precision = torch.promote_types(dtype, torch.float32)
        mean, std = (statistic.to(precision)[:, None, None] for statistic in (self.mean, self.std))
        pixels = self.images.index_select(0, indices).to(precision)
        return pixels.div_(255).sub_(mean).div_(std).to(dtype)


def channel_statistics(images: StoredImages) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation of each channel, in units of pixel / 255.

    Computed from one histogram a channel, so the result is exact and does not depend on how the images are chunked. A
    channel of one single value gets std 1: it becomes zero instead of dividing by zero.

    Args:
        images: uint8 [N, C, H, W].

    Returns:
        two float32 [C] on the images' device.
    """
    channels = images.shape[1]
    counts = torch.zeros(channels, 256, dtype=torch.float64, device=images.device)
    for chunk in torch.split(images, _CHUNK):
        for channel in range(channels):
            counts[channel] += torch.bincount(chunk[:, channel].flatten().int(), minlength=256)
    values = torch.arange(256, dtype=torch.float64, device=images.device) / 255
    share = counts / counts.sum(1, keepdim=True)
    mean = share @ values
    std = (share * (values - mean[:, None]).square()).sum(1).sqrt()
    return mean.float(), torch.where(std > 0, std, torch.ones_like(std)).float()
