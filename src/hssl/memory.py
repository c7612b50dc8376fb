"""How much memory is left: of the machine, and of the share that a container or a batch system grants."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/")
# Control groups, version 2 and 1: folder of the controller, limit, what is used, and the cache that can be dropped.
_GROUPS = (
    ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def available_memory(root: Path = _ROOT) -> int | None:
    """Bytes that can be used without swapping; None where the system does not tell.

    Args:
        root: the folder that /proc and /sys lie in.
    """
    found = [*_of_groups(root)]
    if (machine := _of_machine(root)) is not None:
        found.append(machine)
    return min(found, default=None)


def _of_machine(root: Path) -> int | None:
    try:
        lines = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        pass
    try:
        # Where there is no /proc: all of the memory, since what is free tells little.
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _of_groups(root: Path) -> Iterator[int]:
    """What the process's control group and each one above it leave."""
    try:
        lines = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return
    own = [PurePosixPath(path) for _, controllers, path in lines if controllers == "" or "memory" in controllers]
    for folder, limit, used, droppable in _GROUPS:
        for place in {parent for path in own for parent in (path, *path.parents)}:
            group = root / folder / place.relative_to("/")
            try:
                granted = int((group / limit).read_text())
                statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                yield max(0, granted - int((group / used).read_text()) + int(statistics.get(droppable, 0)))
            # No such group, or 'max': no limit.
            except (OSError, ValueError):
                continue
