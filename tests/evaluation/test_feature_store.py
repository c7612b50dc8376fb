"""Features read like images: the chosen ones, in their order, the same whether they are kept or computed anew."""

import pytest
import torch
from torch import Tensor

from hssl.data import ImageStore
from hssl.evaluation.feature_store import FeatureStore


def images(count: int) -> ImageStore:
    pixels = torch.randint(255, (count, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageStore(pixels, torch.arange(count) % 3, torch.zeros(1), torch.ones(1), ("a", "b", "c"))


def encode(batch: Tensor) -> Tensor:
    return batch.flatten(1).cumsum(1)


@pytest.mark.parametrize("chosen", [None, torch.tensor([7, 2, 300])])
def test_features_are_those_of_the_chosen_images_kept_or_not(chosen: Tensor | None) -> None:
    store = images(301)
    rows = torch.arange(301) if chosen is None else chosen
    kept, anew = (FeatureStore(encode, store, chosen, room) for room in (2**30, 0))
    assert (kept.kept, anew.kept) == (True, False)
    assert len(kept) == len(rows)
    indices = torch.tensor([2, 0])
    expected = encode(store.batch(rows[indices]))
    for features in (kept, anew):
        assert torch.equal(features.batch(indices), expected)
        assert features.labels is not None
        assert torch.equal(features.labels, rows % 3)
        assert torch.equal(features.pixels(indices), store.pixels(rows[indices]))
    # The control: other images have other features.
    assert not torch.equal(kept.batch(torch.tensor([1, 0])), expected)


def test_what_is_fitted_on_features_sends_no_gradient_into_the_network() -> None:
    weight = torch.ones(64, requires_grad=True)
    for room in (2**30, 0):
        batch = FeatureStore(lambda x: x.flatten(1) * weight, images(5), room=room).batch(torch.arange(5))
        assert not batch.requires_grad
        scale = torch.ones((), requires_grad=True)
        (batch * scale).sum().backward()
        assert scale.grad is not None
    assert weight.grad is None
