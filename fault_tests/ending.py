"""The command line in a process that asks itself to end, by SIGTERM, when it has called so many functions. As a script.

    ending.py CALLS FILE WORD ...

Calls are counted, Python's and those into C, from where the command line hears signals. Two numbers go to the file: how
many there were before something was said on stderr, and how many in all. With 0 calls nothing happens to it.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hssl import cli
from hssl.signals import endable


def _counting(work: Callable[[], int], last: int, file: Path) -> int:
    calls = before = 0

    class Told:
        """Standard error, which tells when something was said first."""

        def write(self, text: str) -> int:
            nonlocal before
            before = before or calls
            return stderr.write(text)

        def __getattr__(self, name: str) -> Any:
            return getattr(stderr, name)

    def heard(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        if event in ("call", "c_call"):
            calls += 1
            if calls == last:
                os.kill(os.getpid(), signal.SIGTERM)

    stderr, sys.stderr = sys.stderr, Told()  # type: ignore[assignment]
    sys.setprofile(heard)
    try:
        return work()
    finally:
        sys.setprofile(None)
        sys.stderr = stderr
        file.write_text(f"{before} {calls}")


if __name__ == "__main__":
    last, file = int(sys.argv[1]), Path(sys.argv[2])
    cli.endable = lambda work, last_words: endable(lambda: _counting(work, last, file), last_words)
    sys.exit(cli.main(sys.argv[3:]))
