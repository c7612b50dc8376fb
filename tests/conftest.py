"""Shared fixtures: where the real data lies; one thread a process, so that parallel tests do not fight over cores."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml

from hssl.paper.recipes import recipe
from real_data import named_by
from stand_in_engine import Engine

torch.set_num_threads(1)

# Processes, whole runs and many sizes: seconds each, left to `make test-thorough`.
THOROUGH = {
    "data/test_cache.py", "data/test_mapped_runs.py",
    "paper/test_studies.py", "commands/test_compare.py", "runs/test_grid_processes.py",
    "paper/test_identical_pairs.py", "paper/test_grid.py", "tools/test_picture.py",
    "runs/test_run.py", "runs/test_slurm.py", "runs/test_slurm_task.py",
    "benchmarks/test_layers.py", "benchmarks/test_loss.py", "benchmarks/test_scaling.py",
    "kernels/test_plan.py", "kernels/test_row_convolution.py", "training/test_distributed.py",
    "training/test_ended_runs.py", "training/test_energy.py", "training/test_run_lock.py",
}  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    missing = sorted(name for name in THOROUGH if not (tests / name).is_file())
    assert not missing, f"no such file of tests: {missing}"
    for item in items:
        if item.path.is_relative_to(tests) and item.path.relative_to(tests).as_posix() in THOROUGH:
            item.add_marker(pytest.mark.thorough)


@pytest.fixture(scope="session")
def data_set() -> Callable[[str], Path]:
    """The folder of one of mnist, cifar10 and tiny-imagenet."""
    return lambda name: named_by("HSSL_DATA", name)


@pytest.fixture(scope="session")
def reference_root() -> Path:
    """The folder with the numbers of the original implementation."""
    return named_by("HSSL_REFERENCE")


@pytest.fixture(autouse=True)
def large_pages_stay_in_their_test() -> Iterator[None]:
    """The command line asks for large pages in its own process: left behind, what later tests start would take them."""
    name = "THP_MEM_ALLOC_ENABLE"
    before = os.environ.get(name)
    yield
    os.environ.pop(name, None)
    if before is not None:
        os.environ[name] = before


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Stands in for training, evaluation and comparison."""
    stand_in = Engine()
    places = {
        "hssl.training.engine": ("train",),
        "hssl.training.evaluate": ("evaluate_run", "measure_equivariance"),
        "hssl.commands.compare": ("compare",),
    }
    for place, names in places.items():
        module = ModuleType(place)
        for name in names:
            setattr(module, name, getattr(stand_in, name))
        monkeypatch.setitem(sys.modules, place, module)
    return stand_in


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A folder with no more than the configuration of a run."""
    folder = tmp_path / "run"
    folder.mkdir()
    text = yaml.safe_dump(recipe("digits-scale-hssl", "smoke").model_dump(mode="json"))
    (folder / "config.yaml").write_text(text)
    return folder
