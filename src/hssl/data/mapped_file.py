"""Square images as bytes in one `.npy` file that is written piece by piece and read row by row, never held whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt
import torch

from hssl.data.split import Indices
from hssl.data.store import images_at_once
from hssl.errors import DataError
from hssl.shapes import StoredImages

# Of one size whatever the shape, so that the images can be written before their number is known.
_HEADER_BYTES = 128


class MappedFile:
    """An opened file of images. The operating system keeps as much of it in memory as nobody else needs.

    Attributes:
        path: of the file.
        shape: (N, C, R, R).

    Raises:
        DataError: no such file, another size than its header says, or not square images as bytes.
    """

    def __init__(self, path: Path) -> None:
        remedy = "delete it; it is written anew from the source of the images"
        try:
            images = np.load(path, mmap_mode="r", allow_pickle=False)
            self._stream = path.open("rb")
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"the mapped images {path} cannot be read", arrived=error, remedy=remedy) from error
        if not isinstance(images, np.memmap) or images.dtype != np.uint8 or images.ndim != 4:
            raise DataError(
                f"{path} holds no mapped images",
                arrived=getattr(images, "dtype", type(images).__name__),
                accepted="uint8 (N, C, R, R)",
                remedy=remedy,
            )
        count, channels, height, width = images.shape
        size, wanted = path.stat().st_size, images.offset + images.nbytes
        if height != width or size != wanted:
            raise DataError(
                f"the mapped images {path} are damaged",
                arrived=f"{size:,} bytes, images of {height} x {width}",
                accepted=f"{wanted:,} bytes for the shape {images.shape} in its header, square",
                remedy=remedy,
            )
        self.path = path
        self.shape: tuple[int, int, int, int] = (count, channels, height, width)
        self._images: npt.NDArray[np.uint8] = images
        self._offset = images.offset

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"MappedFile({' x '.join(map(str, self.shape))} uint8 in {self.path})"

    # By its path: what is mapped would be copied whole.
    def __reduce__(self) -> tuple[type["MappedFile"], tuple[Path]]:
        return type(self), (self.path,)

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
        size = int(np.prod(self.shape[1:]))
        for run in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            first, count = int(run[0]), int(run[-1] - run[0]) + 1
            os.posix_fadvise(self._stream.fileno(), self._offset + first * size, count * size, os.POSIX_FADV_WILLNEED)


class MappedWriter:
    """Writes images to a file as they come. The file is whole only once the writer is closed.

    Grey images before the first coloured one are widened in the file then, those after it as they come.

    Args:
        path: of the file; it is overwritten.
        side: height and width of the images.

    Raises:
        DataError: the file cannot be written, or its disk is full.
    """

    def __init__(self, path: Path, side: int) -> None:
        self.count, self.channels, self.side = 0, 1, side
        self._folder = path.parent
        with writing(self._folder):
            self._stream = path.open("wb+")
            self._stream.seek(_HEADER_BYTES)

    def append(self, images: StoredImages) -> None:
        """Adds uint8 [n, 1 or 3, side, side]."""
        with writing(self._folder):
            if images.shape[1] > self.channels:
                self._widen(images.shape[1])
            self._stream.write(images.expand(-1, self.channels, -1, -1).contiguous().numpy().data)
        self.count += len(images)

    def close(self) -> None:
        """Makes the file whole and waits until it lies on the disk."""
        shape = (self.count, self.channels, self.side, self.side)
        text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
        magic = np.lib.format.magic(1, 0)
        length = _HEADER_BYTES - len(magic) - 2
        with writing(self._folder), self._stream:
            self._stream.seek(0)
            self._stream.write(magic + length.to_bytes(2, "little") + text.ljust(length - 1).encode() + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())

    def __enter__(self) -> "MappedWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            # Without the header: nobody takes what was not finished for whole images. What is still in the stream's
            # buffer may find the disk full, and the error on its way out is the one to tell.
            with suppress(OSError):
                self._stream.close()

    def _widen(self, channels: int) -> None:
        """Repeats the one channel of every image written so far, from the last image to the first, within the file."""
        size = self.side**2
        step = images_at_once(channels, self.side, self.side)
        for end in range(self.count, 0, -step):
            begin = max(0, end - step)
            self._stream.seek(_HEADER_BYTES + begin * size)
            grey = np.frombuffer(self._stream.read((end - begin) * size), dtype=np.uint8)
            self._stream.seek(_HEADER_BYTES + begin * channels * size)
            self._stream.write(np.repeat(grey.reshape(end - begin, 1, size), channels, axis=1).data)
        self.channels = channels
        self._stream.seek(_HEADER_BYTES + self.count * channels * size)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Tells people what went wrong while something was written to a folder of the cache.

    Raises:
        DataError: for any OSError inside.
    """
    try:
        yield
    except OSError as error:
        raise no_room(folder, error.strerror or error) from error


def no_room(folder: Path, arrived: object, accepted: object = None) -> DataError:
    """The error of a cache that images cannot be written to."""
    return DataError(
        f"the images cannot be written to the cache in {folder}",
        arrived=arrived,
        accepted=accepted,
        remedy="set HSSL_CACHE to a folder with room, delete what is no longer used there, or --data.store memory",
    )
