"""Turns: A B A B, warm-ups apart, ratios round by round."""

from collections.abc import Callable

import pytest
import torch

from hssl.benchmarks import timing
from hssl.benchmarks.timing import Turns, in_turns, summary

CPU = torch.device("cpu")


def test_contestants_take_turns_and_warm_ups_do_not_count() -> None:
    order: list[str] = []
    contestants = {"slow": lambda: order.append("slow"), "fast": lambda: order.append("fast")}
    turns = in_turns(contestants, 3, CPU, warmups=2)
    assert order == ["slow", "fast"] * 5
    assert {name: len(seconds) for name, seconds in turns.seconds.items()} == {"slow": 3, "fast": 3}


def test_ratios_are_of_neighbouring_turns() -> None:
    """A machine that slows down by ten in the third round moves no ratio."""
    turns = Turns({"slow": (2.0, 4.0, 30.0), "fast": (1.0, 2.0, 15.0)})
    found = turns.speedup("fast", over="slow")
    assert (found.median, found.low, found.high, found.rounds) == (2.0, 2.0, 2.0, 3)
    assert turns.speedup("slow", over="fast").median == 0.5
    assert turns.median("slow") == 4.0


def test_the_spread_is_the_quartiles_or_the_extremes() -> None:
    assert (summary([1.0, 9.0, 3.0]).low, summary([1.0, 9.0, 3.0]).high) == (1.0, 9.0)
    many = summary([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (many.low, many.median, many.high) == (2.0, 3.0, 4.0)
    assert many.as_dict() == {"median": 3.0, "low": 2.0, "high": 4.0, "rounds": 5}


def test_each_contestant_is_timed_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def takes(seconds: float) -> Callable[[], None]:
        def run() -> None:
            nonlocal now
            now += seconds

        return run

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    turns = in_turns({"slow": takes(3.0), "fast": takes(1.5)}, 3, CPU)
    assert turns.seconds == {"slow": (3.0,) * 3, "fast": (1.5,) * 3}
    assert turns.speedup("fast", over="slow").median == 2
    with pytest.raises(KeyError):
        turns.median("nobody")
