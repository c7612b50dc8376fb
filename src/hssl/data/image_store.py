"""All images of a split as one uint8 tensor, cut and normalised on the device that holds it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hssl.data.store import Store
from hssl.errors import DataError
from hssl.shapes import Labels, StoredImages


@dataclass(frozen=True, repr=False)
class ImageStore(Store):
    """Decoded images with their labels; a batch is an index away and needs no loader process.

    Attributes:
        images: uint8 [N, C, H, W], square, at the configured resolution, on the store's device.
        labels, mean, std, class_names: as in `Store`.

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
        self._check()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        count, channels, height, width = self.images.shape
        return count, channels, height, width

    @property
    def device(self) -> torch.device:
        return self.images.device

    def to(self, device: torch.device | str) -> "ImageStore":
        """The same store with every tensor on `device`.

        Raises:
            DataError: the device has no room for all images.
        """
        try:
            images = self.images.to(device)
        except torch.OutOfMemoryError as error:
            raise DataError(
                f"the images do not fit into the memory of {device}",
                arrived=f"{self.images.numel() / 1e9:.1f} GB",
                remedy="--data.store mapped reads each batch from a file",
            ) from error
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, images=images, labels=labels, mean=self.mean.to(device), std=self.std.to(device))

    def pixels(self, indices: Tensor) -> StoredImages:
        """Nothing here makes the host wait for the device when `indices` lie on it."""
        return self.images.index_select(0, indices)
