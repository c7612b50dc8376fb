"""Turns: A B A B, warm-ups apart, ratios round by round."""

import time

import pytest
import torch

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


def test_what_sleeps_is_slower() -> None:
    turns = in_turns({"sleeps": lambda: time.sleep(0.02), "does not": lambda: None}, 3, CPU)
    assert turns.median("sleeps") >= 0.02
    assert turns.speedup("does not", over="sleeps").median > 1
    with pytest.raises(KeyError):
        turns.median("nobody")
