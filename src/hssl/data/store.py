"""What a run asks of its images: a labelled set of bytes, wherever they lie, that gives normalised batches by index."""

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hssl.data.split import Indices
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
                got=f"{count} images, labels {tuple(self.labels.shape)}",
            )
        if self.mean.shape != (channels,) or self.std.shape != (channels,):
            raise DataError(
                "mean and std of a store have one entry a channel",
                got=f"mean {tuple(self.mean.shape)}, std {tuple(self.std.shape)}",
                expected=f"{(channels,)}",
            )


@dataclass(frozen=True, repr=False)
class ImageStore(Store):
    """Decoded images as one tensor on the store's device; a batch is an index away and needs no loader process.

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
                got=f"{self.images.dtype} {tuple(self.images.shape)}",
                expected="torch.uint8 [N, C, H, H]",
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
                got=f"{self.images.numel() / 1e9:.1f} GB",
                hint="--data.store mapped reads each batch from a file",
            ) from error
        labels = None if self.labels is None else self.labels.to(device)
        return replace(self, images=images, labels=labels, mean=self.mean.to(device), std=self.std.to(device))

    def pixels(self, indices: Tensor) -> StoredImages:
        """Nothing here makes the host wait for the device when `indices` lie on it."""
        return self.images.index_select(0, indices)


class MappedImages:
    """Images as bytes in a file, read row by row. The operating system keeps as many in memory as it can spare.

    Attributes:
        path: of the file, which holds nothing but the bytes of the images, one image after the other.
        shape: (N, C, R, R).

    Raises:
        DataError: no such file, or one of another size.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        self.path, self.shape = path, shape
        try:
            self._stream = path.open("rb")
            size: object = os.fstat(self._stream.fileno()).st_size
        except OSError as error:
            size = error.strerror
        if size != math.prod(shape):
            raise DataError(
                f"the mapped images {path} are missing or damaged",
                got=f"size in bytes: {size}",
                expected=f"{math.prod(shape)} for {' x '.join(map(str, shape))}",
                hint="delete the file; it is written anew from the source of the images",
            )
        # Nothing can be mapped of an empty file.
        self._images = np.memmap(path, np.uint8, "r", shape=shape) if size else np.empty(shape, np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"MappedImages({' x '.join(map(str, self.shape))} uint8 in {self.path})"

    # By its path: what is mapped would be copied whole.
    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.path, self.shape)

    def take(self, rows: Indices, *, pinned: bool = False) -> StoredImages:
        """The images at ascending `rows`: uint8 [B, C, R, R], in page-locked memory if `pinned`.

        Raises:
            IndexError: a row outside of the file.
        """
        if len(rows) and not 0 <= rows[0] <= rows[-1] < len(self):
            raise IndexError(f"rows {rows[0]} to {rows[-1]} of {len(self)} images")
        self._announce(rows)
        images = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8, pin_memory=pinned)
        # Any mode but 'raise' writes straight to `out`; and other than an indexing loop, `take` lets other threads run
        # while it waits for the disk.
        np.take(self._images, rows, axis=0, out=images.numpy(), mode="clip")
        return images

    def _announce(self, rows: Indices) -> None:
        """Lets the system fetch all rows at once. Else each is waited for in turn, ten times as long on a cold disk."""
        if not hasattr(os, "posix_fadvise") or not len(rows):
            return
        size = math.prod(self.shape[1:])
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            first, count = int(run[0]), int(run[-1] - run[0]) + 1
            os.posix_fadvise(self._stream.fileno(), first * size, count * size, os.POSIX_FADV_WILLNEED)


@dataclass(frozen=True, repr=False)
class MappedStore(Store):
    """A store for more images than memory holds: no more of them is in memory than a batch, and what the system spares.

    Attributes:
        images: the opened file, uint8 [N, C, R, R].
        labels, mean, std, class_names: as in `Store`.
        channels: of the batches; grey images in the file are repeated where it is more. None: as in the file.
        device: where batches arrive, and where labels, mean and std lie.

    Raises:
        DataError: labels, statistics or channels that do not belong to the images.
    """

    images: MappedImages
    labels: Labels | None
    mean: Tensor
    std: Tensor
    class_names: tuple[str, ...] = ()
    channels: int | None = None
    device: torch.device = torch.device("cpu")  # noqa: RUF009 (a device is immutable)

    on_disk = True

    def __post_init__(self) -> None:
        if self.shape[1] != self.images.shape[1] and self.images.shape[1] != 1:
            raise DataError(
                "only grey images can be given more channels",
                got=f"{self.shape[1]} channels of {self.images!r}",
                expected=f"{self.images.shape[1]}",
            )
        self._check()

    @property
    def shape(self) -> tuple[int, int, int, int]:
        count, channels, height, width = self.images.shape
        return count, self.channels or channels, height, width

    def to(self, device: torch.device | str) -> "MappedStore":
        """The same store, in the same file, with its batches, labels, mean and std on `device`."""
        labels = None if self.labels is None else self.labels.to(device)
        mean, std = self.mean.to(device), self.std.to(device)
        return replace(self, labels=labels, mean=mean, std=std, device=torch.device(device))

    def pixels(self, indices: Tensor) -> StoredImages:
        """Read in the order of the file, which need not be that of `indices`.

        Indices on another device than the CPU are waited for.
        """
        wanted = indices.cpu().numpy()
        order = np.argsort(wanted, kind="stable")
        on_gpu = self.device.type == "cuda"
        images = self.images.take(wanted[order], pinned=on_gpu).to(self.device, non_blocking=on_gpu)
        if not (order[1:] > order[:-1]).all():
            back = np.empty_like(order)
            back[order] = np.arange(len(order))
            images = images.index_select(0, torch.from_numpy(back).to(self.device))
        return images.expand(-1, self.shape[1], -1, -1).contiguous()

    def _place(self) -> str:
        return f"in {self.images.path}, batches on {self.device}"


def images_at_once(channels: int, height: int, width: int) -> int:
    """How many images a pass over all of them takes at a time, so that it never holds more than some megabytes."""
    return max(1, _BYTES_AT_ONCE // (channels * height * width))


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
