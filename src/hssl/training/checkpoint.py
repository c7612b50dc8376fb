"""The checkpoint of a run: `checkpoints/last.ckpt`, the end of its last finished epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hssl.errors import RunFolderError


def load_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU.

    Raises:
        RunFolderError: it cannot be read, is damaged, or is no checkpoint of a run.
    """
    again = "delete the file to train that run from its beginning"
    try:
        # Plain data alone: whoever reads a stranger's run must not run a stranger's code.
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise RunFolderError(f"{checkpoint} cannot be read", arrived=error.strerror) from error
    except Exception as error:
        raise RunFolderError(f"{checkpoint} is damaged or not a checkpoint", remedy=again) from error
    if not isinstance(content, dict) or not {"epoch", "state_dict"} <= content.keys():
        raise RunFolderError(f"{checkpoint} is damaged or not a checkpoint of a run", remedy=again)
    return content
