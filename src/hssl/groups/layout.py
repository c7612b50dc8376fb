"""How the rows [R, C, H, W] inside a network lie: which image and which stream each row is.

A stream is an element of the group axis of a network. Rows let each stream's filters see one contiguous batch, and let
a network compute some streams of each image alone where streams never mix: a loss that reads two fibers of six needs a
third of the work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hssl.errors import GroupError, SizeError
from hssl.transfer import moved


@dataclass(frozen=True, repr=False)
class Streams:
    """The computed (image, stream) pairs of a batch: one row each, stream after stream.

    Attributes:
        images: int64 [R], the image of each row.
        counts: rows of each stream; they add up to R.
        slots: int64 [B, S], the row of each image's stream, or -1 where it is not computed.
    """

    images: Tensor
    counts: tuple[int, ...]
    slots: Tensor

    @classmethod
    def of(cls, elements: Tensor, order: int) -> Streams:
        """The streams that are named for each image; one that is named twice is computed once.

        Args:
            elements: int64 [B, V], indices of the group axis. On a GPU this waits for the device: name elements there
                before they are moved.
            order: S, how many streams there are.

        Raises:
            GroupError: an element that is none.
        """
        if elements.ndim != 2:
            raise SizeError(
                "streams are named by a table with a row for each image",
                got=f"a tensor of shape {tuple(elements.shape)}",
                expected="int64 [B, V]",
            )
        device, elements = elements.device, elements.cpu()
        if elements.numel() and not 0 <= int(elements.min()) <= int(elements.max()) < order:
            raise GroupError(
                "a group axis has no such element",
                got=f"elements from {int(elements.min())} to {int(elements.max())}",
                expected=f"0 to {order - 1}",
            )
        wanted = torch.zeros(len(elements), order, dtype=torch.bool).scatter_(1, elements, True)
        streams, images = wanted.T.nonzero(as_tuple=True)
        slots = torch.full(wanted.shape, -1)
        slots[images, streams] = torch.arange(len(images))
        return cls(images, tuple(wanted.sum(0).tolist()), slots).to(device)

    def to(self, device: torch.device) -> Streams:
        """The same streams with their tables on a device; nothing waits."""
        return replace(self, images=moved(self.images, device), slots=moved(self.slots, device))

    @property
    def order(self) -> int:
        """S, how many streams the group axis has."""
        return len(self.counts)

    def rows(self, elements: Tensor) -> Tensor:
        """The row of each image's elements: int64 [B, K] -> [B, K].

        Raises:
            GroupError: an element that is not computed. Checked on CPUs only, as looking would stall a GPU.
        """
        rows = self.slots.gather(1, elements.to(self.slots.device))
        if rows.device.type == "cpu" and rows.numel() and int(rows.min()) < 0:
            image, column = (rows < 0).nonzero()[0].tolist()
            raise GroupError(
                "a fiber is read that was not computed",
                got=f"stream {int(elements[image, column])} of image {image}",
                expected=f"streams {(self.slots[image] >= 0).nonzero().flatten().tolist()} of that image",
                hint="name it in `elements`, or compute all streams",
            )
        return rows

    def __repr__(self) -> str:
        return f"Streams({len(self.images)} rows of {len(self.slots)} images, by stream {self.counts})"


@dataclass(frozen=True)
class RowLayout:
    """The streams of a batch of rows.

    Attributes:
        counts: rows that see the filters of each stream, stream after stream. A single count says that every row sees
            those of the first stream: a group of one stream, or rows that were moved so that one filter serves all.
        interleaved: rows lie image after image with all streams of each, as the reference formulation has them: every
            layer is then one dense convolution, grouped by stream, of kernels built anew.
        chosen: the streams that were asked for; None for all of them.
        moved: rows of each stream, where each was moved by g^-1 so that one filter serves all; None where none was.
    """

    counts: tuple[int, ...]
    interleaved: bool = False
    chosen: Streams | None = None
    moved: tuple[int, ...] | None = None

    @property
    def total(self) -> int:
        """R, all rows."""
        return sum(self.counts)
