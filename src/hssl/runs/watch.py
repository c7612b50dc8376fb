"""What a grid is doing just now, for a terminal: a line a run that is made, and how much is left."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hssl.extras import extra
from hssl.runs.run import GridFolder

with extra("terminal"):
    from rich.console import Console, Group
    from rich.live import Live
    from rich.text import Text

_TAIL = 400
"""Bytes of a run's log in which its last line lies."""
_EPOCH = re.compile(r"epoch (\d+)(?:/| of )(\d+)")


class Watch:
    """The runs that are being made. `started`, `waiting` and `ended` may be called from any thread.

    Args:
        folder: where they lie.
        count: how many there are to make.
        jobs: how many at a time.

    Attributes:
        left: how many have not ended.
    """

    def __init__(self, folder: GridFolder, count: int, jobs: int) -> None:
        self._folder, self._jobs = folder, jobs
        self.left = count
        self._lock = threading.Lock()
        self._since: dict[str, float] = {}
        self._elsewhere: set[str] = set()
        self._took: list[float] = []

    def started(self, name: str) -> None:
        with self._lock:
            self._since[name] = time.monotonic()

    def waiting(self, name: str) -> None:
        """Another process makes it."""
        with self._lock:
            self._since.pop(name, None)
            self._elsewhere.add(name)

    def ended(self, name: str) -> None:
        with self._lock:
            self._elsewhere.discard(name)
            if (since := self._since.pop(name, None)) is not None:
                self._took.append(time.monotonic() - since)
            self.left -= 1

    @contextmanager
    def shown(self, console: Console) -> Iterator[None]:
        """Below whatever is printed meanwhile, and gone at the end; nothing where nobody looks."""
        if not console.is_terminal:
            yield
            return
        with Live(console=console, get_renderable=self._lines, refresh_per_second=2, transient=True):
            yield

    def _lines(self) -> Group:
        now = time.monotonic()
        with self._lock:
            since, elsewhere = dict(self._since), sorted(self._elsewhere - self._since.keys())
        lines = [f"  {name}  {duration(now - start)}  {state(self._folder.run(name))}" for name, start in since.items()]
        lines += [f"  {name}  is made by another process" for name in elsewhere]
        left = self._time_left(now)
        lines.append(f"  {self.left} to go" + ("" if left is None else f", about {left} left"))
        return Group(*(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines))

    def _time_left(self, now: float) -> str | None:
        """From the mean of those that are done; None before the first is."""
        if not self._took:
            return None
        mean = sum(self._took) / len(self._took)
        spent = sum(min(now - start, mean) for start in self._since.values())
        return duration(max(0.0, mean * self.left - spent) / min(self._jobs, max(1, self.left)))


def state(run: Path) -> str:
    """How far a run is, from the end of its log."""
    try:
        with (run / "log.txt").open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _TAIL))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return "starting"
    last = text.rstrip().rpartition("\n")[2]
    if (found := _EPOCH.search(last)) is None:
        return "measuring" if "random weights" in last else "training"
    return "measuring" if f"epoch {found[2]}/{found[2]}" in last else f"epoch {found[1]} of {found[2]}"


def duration(seconds: float) -> str:
    """'12 s', '3 min 05 s', '2 h 10 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
