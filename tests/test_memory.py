from pathlib import Path

import pytest

from hssl.memory import available_memory

MACHINE = 8 * 2**30


def _machine(root: Path, **files: str) -> Path:
    """A root with 8 GiB available, a process in the group /job/step, and further files by path with '__' for '/'."""
    lines = {
        "proc/meminfo": f"MemTotal:  99999999 kB\nMemFree: 1 kB\nMemAvailable:  {MACHINE // 1024} kB\nHugePages: 0",
        "proc/self/cgroup": "0::/job/step\n",
    }
    for name, content in {**lines, **{name.replace("__", "/"): text for name, text in files.items()}}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def _group(folder: str, limit: str, used: int, inactive: int, version: int = 2) -> dict[str, str]:
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    return {
        f"{folder}/{names[0]}": f"{limit}\n",
        f"{folder}/{names[1]}": f"{used}\n",
        f"{folder}/memory.stat": f"anon 17\n{names[2]} {inactive}\n",
    }


def test_without_groups_it_is_what_the_machine_has_left(tmp_path: Path) -> None:
    assert available_memory(_machine(tmp_path)) == MACHINE


@pytest.mark.parametrize("place", ["job/step", "job", "."])
def test_the_group_and_all_above_it_set_bounds(tmp_path: Path, place: str) -> None:
    root = _machine(tmp_path, **_group(f"sys/fs/cgroup/{place}", str(2**30), 2**29, 2**20))
    assert available_memory(root) == 2**29 + 2**20


def test_the_tightest_bound_counts(tmp_path: Path) -> None:
    groups = _group("sys/fs/cgroup/job", str(2**30), 0, 0) | _group("sys/fs/cgroup/job/step", str(2**31), 0, 0)
    assert available_memory(_machine(tmp_path, **groups)) == 2**30
    # A group of another process is none of ours.
    assert available_memory(_machine(tmp_path / "b", **_group("sys/fs/cgroup/other", "5", 0, 0))) == MACHINE


def test_the_first_version_of_groups(tmp_path: Path) -> None:
    groups = _group("sys/fs/cgroup/memory/docker/x", str(2**30), 2**28, 0, version=1)
    root = _machine(tmp_path, proc__self__cgroup="12:cpu:/docker/x\n4:memory:/docker/x\n0::/\n", **groups)
    assert available_memory(root) == 2**30 - 2**28


def test_no_limit_and_more_used_than_granted(tmp_path: Path) -> None:
    assert available_memory(_machine(tmp_path / "a", **_group("sys/fs/cgroup/job", "max", 9, 0))) == MACHINE
    assert available_memory(_machine(tmp_path / "b", **_group("sys/fs/cgroup/job", "100", 200, 0))) == 0


def test_this_machine_has_some() -> None:
    available = available_memory()
    assert available is not None
    assert 2**20 < available < 2**50


def test_without_proc_it_is_all_memory_or_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = available_memory(tmp_path)
    assert everything is not None
    assert everything >= (available_memory() or 0)

    def unknown(_: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr("os.sysconf", unknown)
    assert available_memory(tmp_path) is None
