"""Features come in the store's order, whatever the batch, as ordinary float32 tensors on the CPU."""

import pytest
import torch

from hssl.data import ImageStore
from hssl.errors import DataError, SizeError
from hssl.evaluation.embeddings import embed


def store(count: int) -> ImageStore:
    images = torch.randint(256, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageStore(images, None, torch.zeros(1), torch.ones(1), ())


def test_features_are_in_order_and_whole() -> None:
    images = store(23)
    expected = images.batch(torch.arange(23)).flatten(1)
    for batch_size in (1, 7, 23, 100):
        features = embed(lambda x: x.flatten(1), images, batch_size)
        assert features.dtype == torch.float32
        assert torch.equal(features, expected)
    assert not features.is_inference()


def test_no_gradient_is_recorded() -> None:
    layer = torch.nn.Linear(64, 5)
    features = embed(lambda x: layer(x.flatten(1)).double(), store(4))
    assert not features.requires_grad
    assert features.dtype == torch.float32


def test_a_feature_map_is_refused() -> None:
    with pytest.raises(SizeError, match=r"\[4, 1, 8, 8\] for 4 images"):
        embed(lambda x: x, store(4))


def test_an_empty_store_is_refused() -> None:
    with pytest.raises(DataError, match="no images"):
        embed(lambda x: x.flatten(1), store(0))
