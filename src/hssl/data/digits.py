"""Scikit-learn's handwritten digits: 1,797 grey images of 8 x 8 pixels that need no download."""

import numpy as np

from hssl.data.labels import hold_out
from hssl.data.split import ArrayPixels, Source, Split

TEST_IMAGES = 360
# Part of what this data set is: another value is another data set, so it does not follow the seed of a run.
_SPLIT_SEED = (1797,)


def read_digits() -> Source:
    """1,437 training and 360 test images in a fixed, stratified split; values 0 .. 16 become 0 .. 255."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    train, test = hold_out(labels, len(labels), TEST_IMAGES, _SPLIT_SEED)
    return Source(
        description="scikit-learn's handwritten digits, 8 x 8",
        train=Split("train", ArrayPixels(images[train]), labels[train]),
        held_out=(Split("test", ArrayPixels(images[test]), labels[test]),),
    )
