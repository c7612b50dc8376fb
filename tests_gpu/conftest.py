"""Tests of what only a GPU shows. They fail where there is none: `make test-gpu` is asked for by name."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    if not torch.cuda.is_available():
        pytest.fail("torch finds no GPU here: these tests are for machines with one")
    return torch.device("cuda")


@pytest.fixture(autouse=True)
def _exact_products(gpu: torch.device) -> Iterator[None]:
    """Float32 with all its digits, so that bounds speak of the formulation and not of TF32."""
    places = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = False
    yield
    for place, allowed in zip(places, before, strict=True):
        place.allow_tf32 = allowed
