"""What a run's devices draw, from counters that they keep themselves: nothing is sampled, and nothing estimated.

A GPU's counter is NVML's total energy, read through `pynvml` where that is installed; a CPU's is RAPL's, one for each
package, where Linux lets it be read. A counter tells what its device drew, whatever else ran on it.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

RAPL = Path("/sys/class/powercap")
# RAPL's counters hold 2^32 steps of 15 or 61 microjoules: at some hundred watts they wrap within minutes.
_SECONDS_BETWEEN_LOOKS = 60.0


class CounterLostError(Exception):
    """A counter that could be read can no longer be."""


@dataclass(frozen=True)
class Counter:
    """A running total of energy.

    Attributes:
        read: the count now. Raises CounterLostError where it can no longer be told.
        joules: of one count.
        range: the count after which it begins at 0 again; None for one that only does so with its driver.
    """

    read: Callable[[], int]
    joules: float
    range: int | None = None

    def between(self, earlier: int, later: int) -> float:
        """Joules between two counts that lie less than one range apart."""
        if later >= earlier:
            return (later - earlier) * self.joules
        # Without a range the counter was set back: what it had before that is lost.
        return (later - earlier + self.range if self.range is not None else later) * self.joules


class EnergyMeter:
    """Joules that counters have told since `start`. One without counters, or that lost one, tells None.

    Counters that wrap are looked at once a minute for as long as the meter lives, by a thread of its own.

    Args:
        counters: of the devices, each once.
    """

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._counters = tuple(counters)
        self._lost = not counters
        self._last: list[int] = []
        self._total = 0.0
        self._lock = threading.Lock()
        self.start()
        if any(counter.range is not None for counter in counters):
            threading.Thread(target=_keep_up, args=(weakref.ref(self),), daemon=True).start()

    def start(self) -> None:
        """Count from 0 again."""
        with self._lock:
            self._total = 0.0
            self._last = self._counts()

    def joules(self) -> float | None:
        """Since `start`, to a hundredth."""
        with self._lock:
            now = self._counts()
            if self._lost:
                return None
            triples = zip(self._counters, self._last, now, strict=True)
            self._total += sum(counter.between(earlier, later) for counter, earlier, later in triples)
            self._last = now
            return round(self._total, 2)

    def _counts(self) -> list[int]:
        if self._lost:
            return []
        try:
            return [counter.read() for counter in self._counters]
        except CounterLostError:
            # No training ends because of this.
            self._lost = True
            return []


def _keep_up(meter: weakref.ref[EnergyMeter]) -> None:
    """So that no counter wraps twice between two looks. Ends once the meter is gone."""
    while (there := meter()) is not None:
        there.joules()
        del there
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def meter_of(device: torch.device, *, first: bool = True) -> EnergyMeter:
    """The meter of a process's own device.

    Args:
        device: a GPU, or the CPU: then all packages of the machine.
        first: whether this is the machine's first process of the run. The others share its packages: they tell 0.
    """
    if device.type == "cuda":
        return EnergyMeter(gpu_counters(device))
    if device.type != "cpu":
        return EnergyMeter(())
    return EnergyMeter(cpu_counters() if first else [Counter(lambda: 0, 1.0)])


def cpu_counters(folder: Path | None = None) -> list[Counter]:
    """RAPL's counter of each package; none where there is none or one of them may not be read.

    Args:
        folder: where the kernel shows them; None for /sys/class/powercap.
    """
    counters = []
    for zone in sorted((folder or RAPL).glob("intel-rapl:*")):
        try:
            # A package's own parts, and what holds the packages (psys), would count the same energy twice.
            if not (zone / "name").read_text().startswith("package"):
                continue
            limit = int((zone / "max_energy_range_uj").read_text())
            counter = Counter(_file(zone / "energy_uj"), 1e-6, limit)
            counter.read()
        except (OSError, ValueError, CounterLostError):
            return []
        counters.append(counter)
    return counters


def gpu_counters(device: torch.device) -> list[Counter]:
    """NVML's counter of a GPU; none without `pynvml`, or where the GPU keeps none (before Volta, or a part of one)."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        # By its own name: NVML does not heed CUDA_VISIBLE_DEVICES.
        name = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        handle = pynvml.nvmlDeviceGetHandleByUUID(name)

        def read() -> int:
            try:
                return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
            except pynvml.NVMLError as error:
                raise CounterLostError(name) from error

        read()
    except (pynvml.NVMLError, CounterLostError, AttributeError):
        return []
    return [Counter(read, 1e-3)]


def _file(path: Path) -> Callable[[], int]:
    def read() -> int:
        try:
            return int(path.read_text())
        except (OSError, ValueError) as error:
            raise CounterLostError(path) from error

    return read
