"""A signal ends a process in order, wherever it comes; and it ends it in any case."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from hssl.signals import Ended, code_of, endable
from waiting import HANG_SECONDS, until

PROGRAM = """
import os, signal, sys, time, threading
from hssl import signals
def hit():
    os.kill(os.getpid(), signal.{signal})
def work():
{work}
sys.exit(signals.endable(work, lambda number: print(f"ended by {{signals.name_of(number)}}", file=sys.stderr)))
"""

# Whoever insists on the end waits until something was said.
PATIENT = (
    "said, insist = threading.Event(), signals._End._insist\n"
    "    signals._End._insist = lambda self: (said.wait(), insist(self))\n    "
)
# What may be going on in the main thread.
SIMPLE = "hit()\n    time.sleep(600)"
IN_ORDER = "try:\n        hit()\n    finally:\n        print('in order')"
SECOND = "try:\n        hit()\n    finally:\n        hit()\n        print('in order')"
LATER = "threading.Timer(0.3, hit).start()\n    threading.Event().wait()"
FINALISED = (
    f"{PATIENT}class Lost:\n        def __del__(self):\n            hit()\n            time.sleep(0)\n"
    "    Lost()\n    print('not yet')\n    said.set()\n    time.sleep(600)"
)
SWALLOWED = (
    f"{PATIENT}try:\n        hit()\n    except BaseException:\n        pass\n"
    "    print('not yet')\n    said.set()\n    time.sleep(600)"
)
REPLACED = "try:\n        hit()\n    except BaseException:\n        raise ImportError('no such thing') from None"
DONE = "try:\n        hit()\n    except BaseException:\n        return 0"
STUCK = "signals.GRACE = 0.5\n    try:\n        hit()\n    finally:\n        threading.Event().wait()"


def run(work: str, name: str = "SIGTERM", ignored: bool = False) -> tuple[int, str, str]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        program = PROGRAM.format(signal=name, work=f"    {work}")
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG_SECONDS)
    finally:
        signal.signal(signal.SIGHUP, before)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (SIMPLE, ""), (IN_ORDER, "in order\n"), (SECOND, "in order\n"), (LATER, ""), (FINALISED, "not yet\n"),
        (SWALLOWED, "not yet\n"), (REPLACED, ""), (DONE, ""), (STUCK, ""),
    ],
    ids=["simple", "in order", "a second", "later", "finalised", "swallowed", "replaced", "done", "stuck"],
)  # fmt: skip
def test_wherever_it_comes_the_process_ends_by_it(work: str, said: str) -> None:
    code, out, errors = run(work)
    assert (code, out) == (143, said)
    assert errors.endswith("ended by SIGTERM\n")
    assert errors.count("ended by SIGTERM") == 1


def test_hanging_up_ends_it_too_unless_that_is_ignored() -> None:
    assert run(IN_ORDER, "SIGHUP") == (129, "in order\n", "ended by SIGHUP\n")
    assert run("hit()\n    print('went on')\n    return 7", "SIGHUP", ignored=True) == (7, "went on\n", "")
    # The control: other signals are none of its business.
    assert run(SIMPLE, "SIGUSR1")[0] == -signal.SIGUSR1


def test_nothing_is_left_behind_in_the_process() -> None:
    before = signal.getsignal(signal.SIGTERM)
    words: list[int] = []

    def hit() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)
        return 0

    assert endable(hit, words.append) == code_of(signal.SIGTERM) == 143
    assert words == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is before
    assert endable(lambda: 5, words.append) == 5
    with pytest.raises(ZeroDivisionError):
        endable(lambda: 1 // 0, words.append)
    assert signal.getsignal(signal.SIGTERM) is before
    assert words == [signal.SIGTERM]
    until(lambda: not any(thread.name == "ending" for thread in threading.enumerate()))


def test_another_thread_has_no_handlers_to_set() -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(endable(lambda: 3, lambda _: None)))
    thread.start()
    thread.join()
    assert codes == [3]


def test_it_is_no_error_that_anybody_catches() -> None:
    assert not issubclass(Ended, Exception)
