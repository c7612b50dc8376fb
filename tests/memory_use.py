"""As a script: how much memory a process takes at most for image sets that lie in a file, and for the same in memory.

memory_use.py FOLDER: prints {"size": bytes of the images, "mapped": peak, "memory": peak} for an epoch of batches and
for the decoding of a folder. Peaks are of anonymous memory: the pages of a mapped file do not count, since the system
takes them back whenever it needs them. Linux only.
"""

import json
import math
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from hssl.data import BatchLoader, ImageStore, MappedStore, Store, load_data
from hssl.data.settings import DataSettings
from hssl.data.store import MappedImages
from small_runs import write_images

SIDE = 128
# Enough for what epoch and decoding take whatever their number, some 100 MB, to be little beside them.
PIECES, IN_A_PIECE, BATCH = 44, 256, 32
IMAGES = 450


def anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def peak(work: Callable[[], object]) -> int:
    """Anonymous bytes at most while it works, looked at every millisecond."""
    highest = 0
    finished = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not finished.wait(0.001):
            highest = max(highest, anonymous_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    work()
    finished.set()
    thread.join()
    return max(highest, anonymous_bytes())


def write_random(path: Path) -> tuple[int, int, int, int]:
    """Some 550 MB of random images, written piece by piece; returns their shape."""
    piece = torch.randint(0, 256, (IN_A_PIECE, 3, SIDE, SIDE), dtype=torch.uint8)
    with path.open("wb") as stream:
        for shift in range(PIECES):
            stream.write(piece.roll(shift, 0).numpy().data)
    return PIECES * IN_A_PIECE, 3, SIDE, SIDE


def epoch(store: Store) -> None:
    for batch in BatchLoader(store, BATCH, seed=0):
        assert batch.images.shape == (BATCH, 3, SIDE, SIDE)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    before = anonymous_bytes()
    path = folder / "random.bin"
    shape = write_random(path)
    size = math.prod(shape)
    statistics = torch.zeros(3), torch.ones(3)
    # Small files, large images: what counts here are the decoded bytes.
    root = str(write_images(folder / "images", IMAGES, size=8))
    sizes = {"name": "folder", "root": root, "resolution": 512, "fit": "resize", "grey": False}

    def decode(store: str) -> None:
        load_data(DataSettings(**sizes, normalize="standardize", store=store)).summary()

    def hold() -> None:
        assert (
            len(ImageStore(torch.from_numpy(np.fromfile(path, np.uint8).reshape(shape)), None, *statistics))
            == PIECES * IN_A_PIECE
        )

    # What one leaves behind counts for the next one too, so those that should take little come first.
    epochs = {"size": size, "mapped": peak(lambda: epoch(MappedStore(MappedImages(path, shape), None, *statistics)))}
    decoding = {"size": IMAGES * 3 * 512 * 512, "mapped": peak(lambda: decode("mapped"))}
    decoding["memory"], epochs["memory"] = peak(lambda: decode("memory")), peak(hold)
    for peaks in (decoding, epochs):
        peaks["mapped"] -= before
        peaks["memory"] -= before
    print(json.dumps({"decoding": decoding, "epoch": epochs}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
