"""Time contestants in turns, A B A B ..., and compare them round by round.

A machine speeds up and slows down for reasons of its own. Neighbouring turns see the same machine, so the ratio of a
round is steadier than either time, and the median over rounds steadier still.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Ratio:
    """How many times faster a contestant is than another, over rounds.

    Attributes:
        median: of the rounds' ratios.
        low, high: their quartiles; the extremes where there are fewer than four rounds.
        rounds: how many.
    """

    median: float
    low: float
    high: float
    rounds: int

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file, rounded to four digits."""
        return {
            "median": float(f"{self.median:.4g}"),
            "low": float(f"{self.low:.4g}"),
            "high": float(f"{self.high:.4g}"),
            "rounds": self.rounds,
        }

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Turns:
    """Seconds of each contestant in each round."""

    seconds: Mapping[str, tuple[float, ...]]

    def median(self, name: str) -> float:
        """Median seconds of a contestant."""
        return statistics.median(self.seconds[name])

    def speedup(self, name: str, over: str) -> Ratio:
        """How many times faster `name` is than `over`: the ratio over / name of each round."""
        ratios = [slow / fast for slow, fast in zip(self.seconds[over], self.seconds[name], strict=True)]
        return summary(ratios)


def summary(ratios: list[float]) -> Ratio:
    """Median and quartiles of ratios."""
    if len(ratios) < 4:
        low, high = min(ratios), max(ratios)
    else:
        low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(statistics.median(ratios), low, high, len(ratios))


def in_turns(
    contestants: Mapping[str, Callable[[], object]], rounds: int, device: torch.device, warmups: int = 1
) -> Turns:
    """Run every contestant once a round, in the order given; `warmups` rounds before are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(warmups + rounds):
        for name, run in contestants.items():
            wait(device)
            start = time.perf_counter()
            run()
            wait(device)
            if turn >= warmups:
                seconds[name].append(time.perf_counter() - start)
    return Turns({name: tuple(values) for name, values in seconds.items()})


def wait(device: torch.device) -> None:
    """Until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
