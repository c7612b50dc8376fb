"""What a run ran on: versions, device, git revision, date."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only

import hssl
from hssl.kernels.native.loader import compiled_filters_exist


def describe_environment(device: torch.device) -> dict[str, object]:
    """Plain data for `environment.json`."""
    return {
        "hssl": hssl.__version__,
        "torch": torch.__version__,
        "lightning": version("lightning"),
        "python": platform.python_version(),
        "device": _device_name(device),
        "threads": torch.get_num_threads(),
        "filters": "compiled" if compiled_filters_exist(torch.zeros((), device=device)) else "torch",
        "git": _git_revision(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def is_first_process() -> bool:
    """Whether this process is the one of a distributed run that writes and prints; True where there is only one."""
    # Lightning counts the first process of every machine as the first of all until there is a trainer.
    return bool(getattr(rank_zero_only, "rank", 0) == 0) and os.environ.get("NODE_RANK", "0") == "0"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = next(
        (line.partition(":")[2].strip() for line in _cpu_info() if line.startswith("model name")), platform.processor()
    )
    return f"CPU: {model or platform.machine()}"


def _cpu_info() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def _git_revision() -> str | None:
    """The revision of the package's source, with '+' for uncommitted changes; None where it is not in a checkout."""
    here = Path(__file__).parent
    try:
        # The installed copy may lie inside somebody else's checkout: the package's source must be tracked by it.
        subprocess.run(["git", "ls-files", "--error-unmatch", __file__], cwd=here, check=True, capture_output=True)
        revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, check=True, capture_output=True, text=True)
        status = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision.stdout.strip() + ("+" if status.stdout.strip() else "")
