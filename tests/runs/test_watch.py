"""What a terminal shows of a grid at work: its runs, how far they are and how much is left."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from hssl.runs import watch as module
from hssl.runs.run import GridFolder
from hssl.runs.watch import Watch, duration, state


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_durations_are_for_people(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (None, "starting"),
        ("12:00  mnist-scale-hssl: epoch 1 of 12, 5,000 images an epoch", "epoch 1 of 12"),
        (
            "12:00  mnist-scale-hssl: epoch 1 of 12, 5,000 images an epoch\n12:01  epoch 7/12  train/loss 3",
            "epoch 7 of 12",
        ),
        ("12:01  epoch 11/12  train/loss 3\n12:01  epoch 12/12  train/loss 3\n", "measuring"),
        ("12:01  mnist-scale-frozen: random weights, BatchNorm calibrated", "measuring"),
        ("12:00  something else " + 500 * "ä", "training"),
    ],
)
def test_how_far_a_run_is(log: str | None, words: str, tmp_path: Path) -> None:
    if log is not None:
        (tmp_path / "log.txt").write_text(log)
    assert state(tmp_path) == words


def shown(watch: Watch, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(watch._lines())
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


def test_a_line_a_run_and_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    watch = Watch(GridFolder(tmp_path), 4, 2)
    assert shown(watch) == ["  4 to go"]
    watch.started("a")
    watch.started("b")
    clock[0] += 60
    assert shown(watch) == ["  a  1 min 00 s  starting", "  b  1 min 00 s  starting", "  4 to go"]
    watch.ended("a")
    watch.started("c")
    clock[0] += 30
    # At a minute a run: b is overdue, half of c is done, one is not begun; two at a time.
    assert shown(watch)[-1] == "  3 to go, about 45 s left"
    watch.waiting("c")
    assert shown(watch)[1] == "  c  is made by another process"
    watch.started("c")
    watch.ended("c")
    watch.ended("b")
    assert shown(watch)[0].startswith("  1 to go")


def test_a_narrow_terminal_cuts_lines(tmp_path: Path) -> None:
    watch = Watch(GridFolder(tmp_path), 4, 2)
    watch.started(50 * "x")
    assert [len(line) for line in shown(watch, 40)] == [40, len("  4 to go")]


@pytest.mark.parametrize("terminal", [True, False])
def test_it_is_shown_where_somebody_looks_and_gone_at_the_end(terminal: bool, tmp_path: Path) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=80, _environ={"TERM": "xterm"})
    watch = Watch(GridFolder(tmp_path), 1, 1)
    watch.started("a")
    with watch.shown(console):
        console.print("a line")
    assert "a line" in stream.getvalue()
    assert ("to go" in stream.getvalue()) is terminal
    assert stream.getvalue().count("a line") == 1
