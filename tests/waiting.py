"""Waiting for something that happens: no test depends on when. The limit is there to end a test that hangs."""

import time
from collections.abc import Callable

HANG_SECONDS = 600.0


def until(true: Callable[[], object]) -> None:
    """Come back once something is so."""
    limit = time.monotonic() + HANG_SECONDS
    while not true():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.005)
