"""Batches on the device and by a loader hold views of the same form."""

import pytest
import torch

from hssl.benchmarks.data import measure


@pytest.mark.parametrize("transformation", ["translation", "scale"])
def test_both_ways_are_timed(transformation: str) -> None:
    row = measure(transformation, 32, 0, 1, torch.device("cpu"))
    assert row["speedup"]["median"] == pytest.approx(row["loader_seconds"] / row["device_seconds"], rel=1e-3)
    # One image at a time is slower, whatever the machine.
    assert row["speedup"]["median"] > 1
