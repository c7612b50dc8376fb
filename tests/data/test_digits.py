import numpy as np
import torch

from hssl.config import DataConfig
from hssl.data import load_data
from hssl.data.digits import read_digits


def test_the_split_is_complete_stratified_and_of_the_stated_size() -> None:
    source = read_digits()
    train, test = source.train, source.held_out[0]
    assert (len(train), len(test)) == (1437, 360)
    assert train.labels is not None
    assert test.labels is not None
    whole = np.bincount(np.concatenate([train.labels, test.labels]))
    assert np.abs(np.bincount(test.labels) - whole * 360 / 1797).max() <= 1
    assert train.pixels.array.max() == 255
    assert train.pixels.array.min() == 0
    assert 16 <= len(np.unique(train.pixels.array)) <= 17


def test_the_seed_of_a_run_does_not_move_the_split() -> None:
    one, other = load_data(DataConfig(), seed=0), load_data(DataConfig(), seed=1)
    assert torch.equal(one.train.images, other.train.images)
    assert torch.equal(one.test.images, other.test.images)
    # The control: it does move a choice of images.
    few = DataConfig(train_images=100)
    assert not torch.equal(load_data(few, seed=0).train.images, load_data(few, seed=1).train.images)


def test_no_image_is_in_both_splits() -> None:
    data = load_data(DataConfig(resolution=8))
    train = {bytes(image.numpy().tobytes()) for image in data.train.images}
    assert len(train) > 1400
    assert not train & {bytes(image.numpy().tobytes()) for image in data.test.images}
