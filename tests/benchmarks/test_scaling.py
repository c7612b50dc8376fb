"""Points of the growth curves: each in a process of its own."""

import torch

from hssl.benchmarks.scaling import AXES, FORMULATIONS, PAPER, measure

CPU = torch.device("cpu")


def test_a_point_grows_with_the_batch() -> None:
    small, large = (measure("batch", batch, "all streams", 2, CPU) for batch in (4, 64))
    assert min(small["seconds"], large["seconds"]) > 0
    assert 0 <= small["megabytes"] < large["megabytes"]
    assert (small["axis"], small["value"], small["formulation"]) == ("batch", 4, "all streams")


def test_every_axis_can_be_set() -> None:
    for axis, values in AXES.items():
        assert measure(axis, values[0], "sampled", 1, CPU)["seconds"] > 0
    # One step for its memory.
    assert measure(PAPER, 8, "sampled", 0, CPU)["seconds"] > 0
    assert list(FORMULATIONS) == ["sampled", "all streams", "plain"]
