"""environment.json."""

import json
import os
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import torch

from hssl.training import environment
from hssl.training.environment import describe_environment, is_first_process

FIELDS = {"hssl", "torch", "lightning", "python", "device", "threads", "filters", "git", "date"}


def test_fields_are_plain_data() -> None:
    described = describe_environment(torch.device("cpu"))
    assert set(described) == FIELDS
    assert json.loads(json.dumps(described)) == described
    assert described["torch"] == torch.__version__
    assert described["filters"] == "compiled"
    assert described["threads"] == torch.get_num_threads()
    assert str(described["device"]).startswith("CPU: ")
    assert datetime.fromisoformat(str(described["date"])).utcoffset() == timedelta(0)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of its own that tracks a copy of the file."""
    source = tmp_path / "environment.py"
    source.write_text("tracked\n")
    identity = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@a",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@a",
    }
    for words in (["init", "-q"], ["add", "environment.py"], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, env=os.environ | identity)
    monkeypatch.setattr(environment, "__file__", str(source))
    return tmp_path


def revision() -> object:
    return describe_environment(torch.device("cpu"))["git"]


def test_revision_and_a_plus_for_changes(checkout: Path) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True)
    assert revision() == head.stdout.strip()
    (checkout / "environment.py").write_text("changed\n")
    assert revision() == head.stdout.strip() + "+"


def test_a_copy_inside_somebody_elses_checkout_has_no_revision(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = checkout / "site-packages" / "environment.py"
    installed.parent.mkdir()
    installed.write_text("not tracked here\n")
    monkeypatch.setattr(environment, "__file__", str(installed))
    assert revision() is None


def test_no_git_no_revision(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(checkout / "nothing"))
    assert revision() is None


def test_a_machine_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_cpu_info", list)
    assert str(describe_environment(torch.device("cpu"))["device"]).startswith("CPU: ")


@pytest.mark.parametrize(("node", "first"), [(None, True), ("0", True), ("1", False)])
def test_the_first_process_of_a_further_machine_is_not_the_first(
    node: str | None, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NODE_RANK", raising=False)
    if node is not None:
        monkeypatch.setenv("NODE_RANK", node)
    assert is_first_process() is first
