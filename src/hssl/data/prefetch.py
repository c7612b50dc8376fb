"""The next items of an iteration, made by a thread while the present one is used."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from queue import SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

ItemT = TypeVar("ItemT", bound=tuple[Tensor, ...])


class Prefetch(Iterator[ItemT], Generic[ItemT]):
    """Iterates over `source`, which runs in a thread and is up to `ahead` items further than was asked for.

    An error in the source is raised where the item would have come. The thread ends with the source, with `close`, when
    the iterator is given up, and at the latest with the program.

    On a GPU the items are made on a stream of their own, so that copies run beside the work on the present item; who
    takes an item has the work that follows on its own stream wait for it.

    Args:
        source: of tuples of tensors.
        ahead: how many items there are at most besides the one in use.
        device: of the tensors.
    """

    def __init__(self, source: Iterator[ItemT], ahead: int, device: torch.device) -> None:
        self._lane = _lane(device)
        if self._lane is not None:
            # What the source reads may still be on its way to the device.
            self._lane.wait_stream(torch.cuda.current_stream(self._lane.device))
        self._shared: _Shared[ItemT] = _Shared(SimpleQueue(), threading.Semaphore(ahead), threading.Event(), self._lane)
        thread = threading.Thread(target=_fill, args=(source, self._shared), name="hssl-prefetch", daemon=True)
        # At the end of the program too, where a thread that is cut off within torch would end it with an abort.
        self._finish = weakref.finalize(self, _stop, self._shared, thread)
        thread.start()

    def __next__(self) -> ItemT:
        if not self._finish.alive:
            raise StopIteration
        item, made, error = self._shared.ready.get()
        if item is None:
            self.close()
            if error is None:
                raise StopIteration
            raise error
        self._shared.free.release()
        if made is not None:
            assert self._lane is not None
            current = torch.cuda.current_stream(self._lane.device)
            current.wait_event(made)
            for tensor in item:
                # Else the memory would be given to a later item while this stream still reads it.
                tensor.record_stream(current)
        return item

    def close(self) -> None:
        """Ends the iteration and waits for the thread, which at most finishes the item that it has begun."""
        self._finish()


class _Made(NamedTuple, Generic[ItemT]):
    """An item and the event that says it is there; without an item the end of the source, by an error or not."""

    item: ItemT | None
    event: torch.cuda.Event | None = None
    error: BaseException | None = None


class _Shared(NamedTuple, Generic[ItemT]):
    """What the thread knows. Not the iterator: given up, it must be free to end, and to end the thread."""

    ready: "SimpleQueue[_Made[ItemT]]"
    free: threading.Semaphore
    stopped: threading.Event
    lane: torch.cuda.Stream | None


@cache
def _lane(device: torch.device) -> torch.cuda.Stream | None:
    """One stream for all iterations on a device: freed memory is kept for the stream that it was made on."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]


def _fill(source: Iterator[ItemT], shared: _Shared[ItemT]) -> None:
    lane = shared.lane
    beside: AbstractContextManager[object] = nullcontext() if lane is None else torch.cuda.stream(lane)
    try:
        with beside:
            while shared.free.acquire() and not shared.stopped.is_set():
                item = next(source, None)
                if item is None:
                    break
                shared.ready.put(_Made(item, None if lane is None else lane.record_event()))
                # While the thread waits, only the consumer may keep an item.
                del item
        shared.ready.put(_Made(None))
    except BaseException as error:
        shared.ready.put(_Made(None, error=error))


def _stop(shared: _Shared[Any], thread: threading.Thread) -> None:
    shared.stopped.set()
    shared.free.release()
    # Within the thread itself where its own allocation happened to collect a given-up iterator.
    if thread is not threading.current_thread():
        thread.join()
