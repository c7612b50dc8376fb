"""The checkpoint of a run: `checkpoints/last.ckpt`, the end of its last finished epoch.

What `torch.save` writes and, at the end of the same file, its checksum. `torch.load` reads it too, and checks nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins import CheckpointIO
from torch import Tensor, nn
from torch.optim import Optimizer

from hssl.errors import RunFolderError
from hssl.files import replacing

_CHUNK = 1 << 20


def save_checkpoint(content: dict[str, Any], checkpoint: Path) -> None:
    """Replace a checkpoint in one step; whatever happens meanwhile, the old or the new one is there, whole.

    It is written beside its place and nowhere else, and flushed before it takes it.

    Raises:
        OSError: the disk is full or the folder cannot be written; the old checkpoint stays.
    """
    with replacing(checkpoint) as stream:
        try:
            torch.save(content, stream)
        except RuntimeError as error:
            # torch puts what a file refuses into words of its own.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise
        stream.write(_trailer(stream, stream.tell()))


def load_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU.

    Raises:
        RunFolderError: it cannot be read, is not what was written, bit for bit, or is no checkpoint of a run.
    """
    again = "delete the file to train that run from its beginning"
    damaged = f"{checkpoint} is damaged or not a checkpoint"
    try:
        with checkpoint.open("rb") as stream:
            written = stream.seek(0, os.SEEK_END) - len(_trailer(stream, 0))
            if written < 0 or _trailer(stream, written) != stream.read():
                raise RunFolderError(damaged, hint=again)
            stream.seek(0)
            # Plain data alone: whoever reads a stranger's run must not run a stranger's code.
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except RunFolderError:
        raise
    except OSError as error:
        raise RunFolderError(f"{checkpoint} cannot be read", got=error.strerror) from error
    except Exception as error:
        raise RunFolderError(damaged, hint=again) from error
    if not isinstance(content, dict) or not {"epoch", "state_dict"} <= content.keys():
        raise RunFolderError(f"{checkpoint} is damaged or not a checkpoint of a run", hint=again)
    return content


class CheckedFiles(CheckpointIO):
    """Has Lightning save and load through the two functions above."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_checkpoint(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return load_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def not_finite(module: nn.Module, optimizers: Iterable[Optimizer] = ()) -> list[str]:
    """What a checkpoint of these would hold that is not finite, by name: weights, buffers, an optimizer's state."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    held: list[tuple[str, Any]] = list(module.state_dict().items())
    for optimizer in optimizers:
        for parameter, state in optimizer.state.items():
            held += [(f"the optimizer's {key} of {names.get(parameter, 'a parameter')}", state[key]) for key in state]
    return [name for name, value in held if not _finite(value)]


def _finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return bool(value.isfinite().all())
    return not isinstance(value, float) or bool(torch.tensor(value).isfinite())


def _trailer(stream: BinaryIO, size: int) -> bytes:
    """What follows the first `size` bytes of a checkpoint; the stream stands behind them then."""
    checksum = hashlib.sha256()
    for chunk in _chunks(stream, size):
        checksum.update(chunk)
    return f"\nhssl sha256 {checksum.hexdigest()}\n".encode()


def _chunks(stream: BinaryIO, size: int) -> Iterator[bytes]:
    stream.seek(0)
    while size > 0 and (chunk := stream.read(min(_CHUNK, size))):
        size -= len(chunk)
        yield chunk
