"""All images of a split in a file: a batch is read from it, moved to the device and normalised there."""

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hssl.data.cache import Notes, cached_images
from hssl.data.mapped_file import MappedFile, MappedWriter
from hssl.data.store import Store
from hssl.errors import DataError
from hssl.shapes import Labels, StoredImages


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

    images: MappedFile
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
                arrived=f"{self.shape[1]} channels of {self.images!r}",
                accepted=f"{self.images.shape[1]}",
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


def mapped(store: Store) -> MappedStore:
    """The same images in a file of the cache: batches stay the same, bit for bit.

    The file is named by its content, so that the same images are written once.

    Raises:
        DataError: the cache cannot be written to, or its disk is full.
    """
    count, channels, height, width = store.shape
    digest = hashlib.sha256(repr(store.shape).encode())
    for piece in store.pieces():
        digest.update(piece.cpu().numpy().data)

    def write(writer: MappedWriter) -> Notes:
        for piece in store.pieces():
            writer.append(piece.cpu())
        return {}

    images, _ = cached_images(digest.hexdigest()[:32], height, count * channels * height * width, write)
    return MappedStore(images, store.labels, store.mean, store.std, store.class_names, channels, store.device)
