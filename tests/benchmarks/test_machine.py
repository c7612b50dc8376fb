"""What a benchmark ran on."""

import pytest
import torch

from hssl.benchmarks.machine import describe, find_device, in_fresh_process, peak_megabytes
from hssl.errors import ConfigurationError

CPU = torch.device("cpu")


def test_a_device_that_is_not_there_is_refused() -> None:
    assert find_device("cpu") == torch.device("cpu")
    if not torch.cuda.is_available():
        assert find_device("auto") == torch.device("cpu")
        with pytest.raises(ConfigurationError, match="no GPU here"):
            find_device("cuda")


def test_the_allocator_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"torch", "device", "threads", "date", "git", "cores"} <= describe(torch.device("cpu")).keys()
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    assert describe(torch.device("cpu"))["allocator"] == {"MALLOC_TRIM_THRESHOLD_": "1"}


def test_a_fresh_process_tells_its_output_or_why_not() -> None:
    assert in_fresh_process("import sys; print(sys.argv[1])", "word") == "word\n"
    with pytest.raises(ConfigurationError, match="ZeroDivisionError"):
        in_fresh_process("1 / 0")


def test_peak_memory_is_that_of_the_process() -> None:
    before = peak_megabytes(CPU)
    held = torch.ones(2 * 10**7)
    assert peak_megabytes(CPU) >= before
    assert float(held.sum()) == 2e7
    assert peak_megabytes(CPU) > 80
