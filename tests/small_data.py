"""Small folders in the layouts of MNIST (IDX files) and CIFAR-10 (parquet files); the images of a store in a file."""

import io
import struct
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from hssl.data.store import ImageStore, MappedImages, MappedStore
from hssl.files import cache_folder


def write_mnist(folder: Path, train: int = 40, test: int = 20) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    for part, count in (("train", train), ("t10k", test)):
        labels = np.arange(count, dtype=np.uint8) % 10
        # A bright row for each class: there is something to learn.
        pixels = chance.integers(0, 60, (count, 28, 28), dtype=np.uint8)
        pixels[np.arange(count), 2 * labels + 4] = 255
        for name, array in ((f"{part}-images-idx3-ubyte", pixels), (f"{part}-labels-idx1-ubyte", labels)):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (folder / name).write_bytes(header + array.tobytes())
    return folder


def write_cifar10(folder: Path, train: int = 20, test: int = 10) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("test", test)):
        cells = []
        for index in range(count):
            buffer = io.BytesIO()
            Image.new("RGB", (32, 32), (10 * (index % 10), 100, 200)).save(buffer, "png")
            cells.append({"bytes": buffer.getvalue(), "path": f"{index}.png"})
        table = pa.table({"img": cells, "label": [index % 10 for index in range(count)]})
        pq.write_table(table, folder / f"{part}.parquet")
    return folder


def mapped(store: ImageStore) -> MappedStore:
    """The same images in a file of the cache."""
    with tempfile.NamedTemporaryFile(dir=cache_folder(), suffix=".bin", delete=False) as stream:
        stream.write(store.images.cpu().numpy().tobytes())
    images = MappedImages(Path(stream.name), store.shape)
    return MappedStore(images, store.labels, store.mean, store.std, store.class_names, device=store.device)
