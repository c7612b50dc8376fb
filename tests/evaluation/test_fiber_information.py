"""The bound lies below what two fibers share, near to it where that is little, and at nothing for other images."""

import math

import pytest
import torch
from torch import Tensor

from hssl.errors import DataError
from hssl.evaluation.fiber_information import fiber_information
from hssl.groups import Rotations, Translations


def chain(count: int, correlation: float, seed: int) -> Tensor:
    """Features [N, 2, 4] along a line, Gaussian: each component is that of its neighbour, weakened, and noise.

    At d steps a component shares -log(1 - correlation^(2 d)) / 2 nats.
    """
    generator = torch.Generator().manual_seed(seed)
    values = [torch.randn(count, 2, generator=generator)]
    for _ in range(3):
        noise = math.sqrt(1 - correlation**2) * torch.randn(count, 2, generator=generator)
        values.append(correlation * values[-1] + noise)
    return torch.stack(values, dim=2)


LINE = Translations((1, 4))


def test_the_bound_follows_what_is_shared() -> None:
    correlation = 0.8
    train, test = (chain(3000, correlation, seed) for seed in (0, 1))
    found = fiber_information(train, test, LINE, images_at_once=256)
    assert [item.distance for item in found] == [1, 4, 9]
    for steps, item in enumerate(found, start=1):
        truth = -math.log(1 - correlation ** (2 * steps))
        assert 0.6 * truth < item.nats < truth + 0.05
        # The control: fibers of other images share nothing.
        assert abs(item.shuffled) < 0.08
    assert found[0].nats > found[1].nats > found[2].nats


def test_where_nothing_is_shared_nothing_is_found() -> None:
    train, test = (chain(2000, 0.0, seed) for seed in (0, 1))
    (near,) = fiber_information(train, test, LINE, distances=[1.0], images_at_once=256)
    assert abs(near.nats) < 0.08


def test_what_lies_at_a_place_in_every_image_is_not_shared_by_its_fibers() -> None:
    """Fibers that only say where they lie tell nothing of their image."""
    generator = torch.Generator().manual_seed(0)
    places = 3 * torch.randn(1, 2, 4, generator=generator)
    train, test = (places + torch.randn(2000, 2, 4, generator=generator) for _ in range(2))
    (near,) = fiber_information(train, test, Translations((2, 2)), distances=[1.0], images_at_once=256)
    assert abs(near.nats) < 0.1


def test_bad_input_is_named() -> None:
    with pytest.raises(DataError, match=r"at least 512 images"):
        fiber_information(torch.randn(100, 2, 4), torch.randn(600, 2, 4), Rotations())
    with pytest.raises(DataError, match=r"\[N, C, 4\]"):
        fiber_information(torch.randn(600, 2, 5), torch.randn(600, 2, 4), Rotations())
