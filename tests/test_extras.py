"""What is optional is named with its extra where it is missing, and nothing else needs it."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
import torch

from hssl.extras import EXTRAS, MissingPackageError, extra, is_installed

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "hssl"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Where a distribution is imported by another name than its own.
IMPORTED_AS = {"pyyaml": "yaml", "scikit-learn": "sklearn", "pillow": "PIL", "nvidia-ml-py": "pynvml"}


def _packages(requirements: list[str]) -> set[str]:
    names = {re.split(r"[<>=\[]", requirement)[0] for requirement in requirements}
    return {IMPORTED_AS.get(name, name) for name in names}


def _imported() -> Iterator[str]:
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names.append(node.module or "")
            yield from (name.partition(".")[0] for name in names)


Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """Runs code where everything is installed but the packages of extras: Lightning looks at what is on the disk."""
    site = tmp_path_factory.mktemp("site")
    for place in Path(torch.__file__).parents[1].iterdir():
        if not place.name.startswith(tuple(EXTRAS.values())):
            (site / place.name).symlink_to(place)
    environment = os.environ | {"PYTHONPATH": f"{SOURCE.parent}{os.pathsep}{site}"}

    def run(code: str, *words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-S", "-c", f"import sys\n{code}", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return run


def test_what_is_imported_is_declared_and_what_is_required_is_imported() -> None:
    imported = set(_imported()) - set(sys.stdlib_module_names) - {"hssl"}
    required = _packages(PROJECT["dependencies"])
    optional = {name: _packages(PROJECT["optional-dependencies"][name]) for name in (*EXTRAS, "gpu")}
    # Lightning imports tensorboard for us.
    assert imported | {"tensorboard"} == required.union(*optional.values())
    assert {name: optional[name] for name in EXTRAS} == {name: {package} for name, package in EXTRAS.items()}
    assert not required & set().union(*optional.values())
    assert PROJECT["optional-dependencies"]["all"] == [f"hssl[{','.join(optional)}]"]
    assert "hssl[all]" in PROJECT["optional-dependencies"]["dev"]  # which make install installs


@pytest.mark.parametrize("name", EXTRAS)
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_installed(name)
    with extra(name):
        import_module(EXTRAS[name])
    monkeypatch.setitem(sys.modules, EXTRAS[name], None)
    assert not is_installed(name)
    with (
        pytest.raises(MissingPackageError, match=rf"^{EXTRAS[name]} is not installed\n.*'hssl\[{name}\]'"),
        extra(name),
    ):
        import_module(EXTRAS[name])


def test_another_missing_package_is_another_error() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_package"), extra("plots"):
        import_module("no_such_package")


def test_every_module_imports_without_them_or_names_the_extra(python: Python) -> None:
    files = [file.relative_to(SOURCE.parent).with_suffix("") for file in sorted(SOURCE.rglob("*.py"))]
    code = """
from importlib import import_module
from hssl.extras import MissingPackageError
for name in sys.argv[1:]:
    try:
        import_module(name)
    except MissingPackageError as error:
        print(name, error.problem.split()[0])
"""
    done = python(code, *(".".join(file.parts).removesuffix(".__init__") for file in files))
    assert done.returncode == 0, done.stderr
    lacking = dict(line.split() for line in done.stdout.splitlines())
    assert lacking["hssl.report.plots"] == lacking["hssl.benchmarks.plots"] == "matplotlib"
    assert lacking["hssl.report.terminal"] == "rich"
    # What is read, trained and measured with.
    assert {name.split(".")[1] for name in lacking} <= {"report", "runs", "benchmarks", "commands"}


@pytest.mark.thorough
def test_training_and_evaluating_need_none_of_them_and_comparing_says_so(python: Python, tmp_path: Path) -> None:
    train = "from hssl.cli import main\nsys.exit(main(sys.argv[1:]))"
    fields = {"data.train_images": 64, "data.test_images": 32, "trainer.epochs": 1, "trainer.accelerator": "cpu"}
    words = [word for name, value in fields.items() for word in (f"--{name}", value)]
    done = python(train, "train", "digits-rotation-hssl", "--budget", "smoke", "--out", tmp_path / "run", *words)
    assert done.returncode == 0, done.stderr
    assert "'hssl[tensorboard]'" in done.stdout + done.stderr
    assert not (tmp_path / "run" / "tensorboard").exists()
    compare = python(train, "compare", "digits-translation", "--out", tmp_path / "table")
    assert compare.returncode == 2
    assert re.search(r"'hssl\[(plots|terminal)\]'", compare.stderr)
    assert not (tmp_path / "table").exists()  # found out before the first run
