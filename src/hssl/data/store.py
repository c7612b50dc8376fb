"""What a run asks of its images: a labelled set of bytes, wherever they lie, that gives normalised batches by index."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor

from hssl.errors import DataError
from hssl.shapes import Images, Labels, StoredImages

_BYTES_AT_ONCE = 2**22


class Store(ABC):
    """Decoded square images with their labels.

    Two stores of the same images give the same batches bit for bit, whichever way they hold them.

    Attributes:
        labels: int64 [N] with values in 0 .. len(class_names) - 1, or None when the images carry no labels.
        mean: float32 [C] in units of pixel / 255, subtracted by `batch`.
        std: float32 [C] in units of pixel / 255, divided by in `batch`.
        class_names: the name of each label; empty without labels.
        on_disk: whether a batch has to be read from a file, so that it is worth cutting ahead of time.
    """

    labels: Labels | None
    mean: Tensor
    std: Tensor
    class_names: tuple[str, ...]
    on_disk: ClassVar[bool] = False

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W) of all images."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where batches arrive, and where labels, mean and std lie."""

    @abstractmethod
    def to(self, device: torch.device | str) -> "Store":
        """The same store with its batches on `device`."""

    @abstractmethod
    def pixels(self, indices: Tensor) -> StoredImages:
        """The bytes of the images at `indices`, a new tensor [B, C, H, W] on the store's device."""

    def batch(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Images:
        """Normalised images at `indices`: (pixel / 255 - mean) / std.

        Args:
            indices: int64 [B], best on the store's device.
            dtype: of the result. Types below float32 are rounded once, at the end.

        Returns:
            [B, C, H, W] of `dtype` on the store's device.
        """
        precision = torch.promote_types(dtype, torch.float32)
        mean, std = (statistic.to(precision)[:, None, None] for statistic in (self.mean, self.std))
        return self.pixels(indices).to(precision).div_(255).sub_(mean).div_(std).to(dtype)

    def pieces(self) -> Iterator[StoredImages]:
        """The bytes of all images in their order, a few at once: [n, C, H, W] on the store's device."""
        count, *image = self.shape
        for indices in torch.split(torch.arange(count, device=self.device), images_at_once(*image)):
            yield self.pixels(indices)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        labels = f"{len(self.class_names)} classes" if self.labels is not None else "no labels"
        return f"{type(self).__name__}({' x '.join(map(str, self.shape))} uint8 {self._place()}, {labels})"

    def _place(self) -> str:
        return f"on {self.device}"

    def _check(self) -> None:
        """Raises DataError where labels or statistics do not belong to the images."""
        count, channels = self.shape[:2]
        if self.labels is not None and self.labels.shape != (count,):
            raise DataError(
                "images and labels of a store differ in number",
                arrived=f"{count} images, labels {tuple(self.labels.shape)}",
            )
        if self.mean.shape != (channels,) or self.std.shape != (channels,):
            raise DataError(
                "mean and std of a store have one entry a channel",
                arrived=f"mean {tuple(self.mean.shape)}, std {tuple(self.std.shape)}",
                accepted=f"{(channels,)}",
            )


def images_at_once(channels: int, height: int, width: int) -> int:
    """How many images a pass over all of them takes at a time, so that it never holds more than some megabytes."""
    return max(1, _BYTES_AT_ONCE // (channels * height * width))
