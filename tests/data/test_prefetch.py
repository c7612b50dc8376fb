import gc
import itertools
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from hssl.data import prefetch
from hssl.data.prefetch import Prefetch

CPU = torch.device("cpu")
PATIENCE_SECONDS = 10.0


def _items(count: int, made: list[int] | None = None, device: torch.device = CPU) -> Iterator[tuple[torch.Tensor]]:
    for number in range(count):
        if made is not None:
            made.append(number)
        yield (torch.full((3,), number, device=device),)


def _values(items: Iterator[tuple[torch.Tensor]]) -> list[int]:
    return [int(item[0][0]) for item in items]


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hssl-prefetch"]


def _soon(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds() and time.monotonic() < end:
        time.sleep(0.002)
    return holds()


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    assert not _threads()
    yield
    assert not _threads()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 20])
@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_items_come_as_the_source_makes_them(count: int, ahead: int, device: torch.device) -> None:
    items = Prefetch(_items(count, device=device), ahead, device)
    assert _values(items) == list(range(count))
    assert next(items, None) is None, "a finished iteration goes on"
    assert not _threads()


@pytest.mark.parametrize("ahead", [1, 2, 4])
def test_it_is_so_many_items_ahead_and_no_more(ahead: int) -> None:
    made: list[int] = []
    items = Prefetch(_items(20, made), ahead, CPU)
    assert _soon(lambda: len(made) == ahead)
    for taken in range(1, 6):
        next(items)
        assert _soon(lambda wanted=taken + ahead: len(made) == wanted)
        time.sleep(0.02)
        assert len(made) == taken + ahead
    items.close()
    # The control: without the thread an item is made when it is asked for.
    made.clear()
    next(_items(20, made))
    assert made == [0]


def test_the_source_runs_in_a_thread_of_its_own_while_an_item_is_used() -> None:
    used = threading.Event()

    def source() -> Iterator[tuple[torch.Tensor]]:
        yield (torch.zeros(1),)
        # Cannot go on before the first item is in use: whoever makes items only when asked waits for ever.
        assert used.wait(PATIENCE_SECONDS)
        yield (torch.full((1,), float(threading.get_ident() != main)),)

    main = threading.get_ident()
    items = Prefetch(source(), 2, CPU)
    next(items)
    used.set()
    assert next(items)[0].item() == 1


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("error", [OSError(5, "the disk is gone"), KeyboardInterrupt("the disk is gone")])
def test_an_error_is_raised_where_its_item_would_have_come(after: int, error: BaseException) -> None:
    def source() -> Iterator[tuple[torch.Tensor]]:
        yield from _items(after)
        raise error

    items = Prefetch(source(), 2, CPU)
    assert _values(itertools.islice(items, after)) == list(range(after))
    with pytest.raises(type(error), match="the disk is gone") as caught:
        next(items)
    assert any(entry.name == "source" for entry in caught.traceback), "where it came from is lost"
    assert not _threads()
    assert next(items, None) is None


def _leave_by_break() -> None:
    for _ in Prefetch(_items(20), 2, CPU):
        break


def _leave_by_error() -> None:
    for _ in Prefetch(_items(20), 2, CPU):
        assert len(_threads()) == 1
        raise ValueError("in the consumer")


def _close() -> None:
    items = Prefetch(_items(20), 2, CPU)
    next(items)
    items.close()
    items.close()
    assert next(items, None) is None


def _never_begin() -> None:
    Prefetch(_items(20), 2, CPU)


def _lose_in_a_cycle() -> None:
    items = Prefetch(_items(20), 2, CPU)
    items.itself = items  # type: ignore[attr-defined]
    next(items)
    del items
    gc.collect()


def _close_an_endless_source() -> None:
    Prefetch(((torch.zeros(1),) for _ in itertools.count()), 3, CPU).close()


@pytest.mark.parametrize(
    "leave", [_leave_by_break, _leave_by_error, _close, _never_begin, _lose_in_a_cycle, _close_an_endless_source]
)
def test_the_thread_ends_with_the_iteration(leave: Callable[[], None]) -> None:
    if leave is _leave_by_error:
        with pytest.raises(ValueError, match="in the consumer"):
            leave()
    else:
        leave()
    assert not _threads()
    # The control: while it goes on, there is one.
    items = Prefetch(_items(20), 2, CPU)
    next(items)
    assert len(_threads()) == 1
    items.close()


def test_the_source_is_ended_with_the_thread() -> None:
    ended = threading.Event()

    def source() -> Iterator[tuple[torch.Tensor]]:
        try:
            yield from _items(20)
        finally:
            ended.set()

    items = Prefetch(source(), 2, CPU)
    next(items)
    assert not ended.is_set()
    items.close()
    assert ended.wait(PATIENCE_SECONDS)


def test_an_item_that_was_used_is_not_kept_while_the_next_one_is_made() -> None:
    dropped = threading.Event()

    def source() -> Iterator[tuple[torch.Tensor]]:
        yield (torch.zeros(3),)
        assert dropped.wait(PATIENCE_SECONDS)
        yield (torch.zeros(3),)

    items = Prefetch(source(), 2, CPU)
    item = next(items)[0]
    used = weakref.ref(item)
    assert used() is not None
    del item
    assert _soon(lambda: used() is None)
    dropped.set()
    items.close()


def test_a_program_ends_with_an_iteration_in_its_hands() -> None:
    script = (
        "import itertools, torch\n"
        "from hssl.data.prefetch import Prefetch\n"
        "torch.set_num_threads(1)\n"
        "source = ((torch.rand(300, 300) @ torch.rand(300, 300),) for _ in itertools.count())\n"
        "items = Prefetch(source, 1000, torch.device('cpu'))\n"
        "next(items)\n"
        "print('end')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


class _Lane:
    """Stands for a stream: writes down, in order, what is asked of it."""

    def __init__(self, name: str, log: list[tuple[Any, ...]]) -> None:
        self.name, self.log, self.device, self.events = name, log, "gpu", itertools.count()

    def wait_stream(self, other: "_Lane") -> None:
        self.log.append((self.name, "waits for", other.name))

    def record_event(self) -> str:
        return f"event {next(self.events)}"

    def wait_event(self, event: str) -> None:
        self.log.append((self.name, "waits for", event))


class _Tensor:
    def __init__(self, number: int, log: list[tuple[Any, ...]]) -> None:
        self.number, self.log = number, log

    def record_stream(self, lane: _Lane) -> None:
        self.log.append((lane.name, "uses", self.number))


class _On:
    def __init__(self, lane: _Lane) -> None:
        self.lane = lane

    def __enter__(self) -> None:
        current.lane = self.lane

    def __exit__(self, *_: object) -> None:
        del current.lane


current = threading.local()


def test_an_item_from_another_stream_is_waited_for_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[tuple[Any, ...]] = []
    main, beside = _Lane("main", log), _Lane("beside", log)
    made_on: list[str] = []

    def source() -> Iterator[Any]:
        for number in range(3):
            made_on.append(current.lane.name)
            yield _Tensor(number, log), _Tensor(10 + number, log)

    monkeypatch.setattr(prefetch, "_lane", lambda _: beside)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: main)
    monkeypatch.setattr(torch.cuda, "stream", _On)
    items: Prefetch[Any] = Prefetch(source(), 2, CPU)
    assert log == [("beside", "waits for", "main")]
    log.clear()
    for number, _ in enumerate(items):
        assert log == [
            ("main", "waits for", f"event {number}"), ("main", "uses", number), ("main", "uses", 10 + number)
        ]  # fmt: skip
        log.clear()
    assert made_on == ["beside"] * 3
