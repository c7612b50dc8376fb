"""The objective's cost: tiles beside dense where dense fits, equal in value and gradient."""

import torch

from hssl.benchmarks import loss


def test_tiles_are_measured_beside_dense() -> None:
    row = loss.measure(512, 1, torch.device("cpu"))
    assert row["tiles_seconds"] > 0
    assert row["dense_seconds"] > 0
    assert row["loss_difference"] < 1e-6
    assert row["gradient_difference"] < 1e-5


def test_dense_is_left_out_where_it_does_not_fit() -> None:
    largest = loss.LARGEST_DENSE
    assert 4 * (2 * largest) ** 2 <= 2**30 <= 4 * (4 * largest) ** 2
    assert max(loss.SIZES) == 16_384


def test_memory_is_that_of_a_process_of_its_own() -> None:
    tiles, dense = (loss.memory(2048, rows, torch.device("cpu")) for rows in (None, 2048))
    assert 0 < tiles < dense / 2
    # One matrix of logits is 67 MB.
    assert dense > 67
