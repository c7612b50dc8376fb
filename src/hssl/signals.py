"""Signals that ask the process to end: an exception in the main thread, and an end in any case.

The first one raises `Ended`, a BaseException, wherever the main thread is, and the process puts its things in order as
it does on an interrupt; later ones change nothing. Not every place lets an exception through: what is raised while an
object is finalised, or inside an extension module that is being imported, is dropped by Python or by that module. So a
thread looks on: an exception that is no more, without having arrived, is raised again; and what has not put its things
in order after `GRACE` seconds ends without further ado. No run is the worse for it. A call outside of Python delays all
of this until it comes back.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType

GRACE = 30.0
_LOOK = 0.1


class Ended(BaseException):
    """A signal asked the process to end.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(name_of(number))
        self.number = number


def endable(work: Callable[[], int], last_words: Callable[[int], None]) -> int:
    """What a process does until it ends: its exit code, or that of a signal, SIGTERM or SIGHUP, that ended it.

    A signal that is ignored, as SIGHUP under nohup, stays so. Outside of the main thread, where Python knows no
    handlers, this is `work()`.

    Args:
        work: returns an exit code.
        last_words: called with the signal's number; from another thread where the end waits for nobody.
    """
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    end = _End(last_words)
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    code = 0
    try:
        for number in before:
            signal.signal(number, end.hear)
        code = work()
        end.arrived.set()
    except BaseException:
        end.arrived.set()
        # Whatever `Ended` was made into on its way.
        if end.number is None:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
    if end.number is None:
        return code
    last_words(end.number)
    return code_of(end.number)


def name_of(number: int) -> str:
    """SIGTERM for 15."""
    return signal.Signals(number).name


def code_of(number: int) -> int:
    """The exit code of a process that a signal ended, as a shell tells it."""
    return 128 + number


class _End:
    """What is known of the process's end: `number`, the signal that asked for it; whether it has `arrived`."""

    def __init__(self, last_words: Callable[[int], None]) -> None:
        self.number: int | None = None
        self.arrived = threading.Event()
        self._last_words = last_words
        self._raised: Callable[[], Ended | None] = lambda: None

    def hear(self, number: int, _: FrameType | None) -> None:
        if self.arrived.is_set() or self._raised() is not None:
            return
        first, self.number = self.number is None, self.number or number
        ended = Ended(self.number)
        self._raised = weakref.ref(ended)
        if first:
            threading.Thread(target=self._insist, daemon=True, name="ending").start()
        try:
            raise ended
        finally:
            del ended  # it would hold itself through this frame, and be there for ever

    def _insist(self) -> None:
        main, limit = threading.main_thread().ident, time.monotonic() + GRACE
        assert main is not None
        assert self.number is not None
        while not self.arrived.wait(_LOOK):
            if time.monotonic() > limit:
                self._last_words(self.number)
                os._exit(code_of(self.number))
            if self._raised() is None:
                signal.pthread_kill(main, self.number)
