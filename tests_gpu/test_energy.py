"""A GPU's own counter of its energy, found by the GPU's name."""

import time

import pytest
import torch

from hssl.training.energy import gpu_counters, meter_of


def test_work_draws_more_than_rest(gpu: torch.device) -> None:
    pytest.importorskip("pynvml", reason="nvidia-ml-py, of the extra 'gpu', is not installed")
    device = torch.device("cuda", torch.cuda.current_device())
    assert len(gpu_counters(device)) == 1, "this GPU keeps no count"
    matrix = torch.randn(4096, 4096, device=device)
    meter = meter_of(device)
    watts = []
    for busy in (False, True):
        torch.cuda.synchronize()
        time.sleep(1)
        meter.start()
        start = time.monotonic()
        while time.monotonic() - start < 3:
            if busy:
                matrix @ matrix
                torch.cuda.synchronize()
            else:
                time.sleep(0.1)
        joules = meter.joules()
        assert joules is not None
        watts.append(joules / (time.monotonic() - start))
    rest, work = watts
    assert 1 < rest < work < 3000
