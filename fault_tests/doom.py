"""Where a process kills itself: at a byte of a checkpoint that is being written, around its renaming, at a step."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hssl import files
from hssl.training import checkpoint
from hssl.training.module import SSLModule


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _Counted:
    """A stream that kills the process as soon as so many bytes were written, all of them on the disk."""

    def __init__(self, stream: BinaryIO, last: int) -> None:
        self._stream, self._left = stream, last

    def write(self, data: Any) -> int:
        data = bytes(data)
        if len(data) > self._left:
            self._stream.write(data[: self._left])
            self._stream.flush()
            os.fsync(self._stream.fileno())
            kill()
        self._left -= len(data)
        return self._stream.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def at_byte(byte: int, writes_before: int = 0) -> Callable[[], None]:
    """In the write of a checkpoint after so many whole ones, when so many bytes of it are there."""

    def change() -> None:
        left = writes_before

        @contextmanager
        def replacing(path: Path) -> Iterator[Any]:
            nonlocal left
            with files.replacing(path) as stream:
                yield _Counted(stream, byte) if left == 0 else stream
            left -= 1

        checkpoint.replacing = replacing  # type: ignore[assignment]

    return change


def around_renaming(before: bool) -> Callable[[], None]:
    """When a checkpoint is written whole, before or just after it takes its place."""

    def change() -> None:
        replace = Path.replace

        def doomed(self: Path, target: Path) -> Path:
            ours = Path(target).name == "last.ckpt"
            if ours and before:
                kill()
            found = replace(self, target)
            if ours:
                kill()
            return found

        Path.replace = doomed  # type: ignore[method-assign]

    return change


def at_step(step: int) -> Callable[[], None]:
    """Before the step with this number, counted over the whole run."""

    def change() -> None:
        training_step = SSLModule.training_step

        def doomed(self: Any, *arguments: Any) -> Any:
            if self.trainer.global_step == step:
                kill()
            return training_step(self, *arguments)

        SSLModule.training_step = doomed  # type: ignore[method-assign]

    return change
