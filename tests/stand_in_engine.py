"""What stands where training and comparison stand, for tests of the command line."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from hssl.cli import main
from hssl.config import Config

EVALUATION: dict[str, Any] = {
    "recipe": "digits-scale-hssl",
    "epoch": 3,
    "complete": True,
    "labels": True,
    "readout": {"accuracy": 91.25, "protocol": "trained alongside"},
    "linear_probe": {"accuracy": 88.5, "protocol": "logistic regression"},
    "knn": {"accuracy": 80.0, "protocol": "20 neighbours"},
    "equivariance": {
        "group": "Scales(1.0, 1.5)",
        "class": "approximate",
        "bound": None,
        "held": None,
        "errors": {"x1.5": 0.0421},
    },
}


class Engine:
    """Stands where training and comparison stand, and keeps what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answer: Mapping[str, Any] = EVALUATION
        self.failure: BaseException | None = None
        self.code = 0

    def _answer(self, *asked: Any) -> Mapping[str, Any]:
        self.asked.append(asked)
        if self.failure is not None:
            raise self.failure
        return self.answer

    def train(self, config: Config, out: Path) -> Mapping[str, Any]:
        return self._answer(config, out)

    def evaluate_run(self, run: Path, data_root: str | None, told: Callable[[str], None]) -> Mapping[str, Any]:
        if self.failure is None:
            told("fitting the readout")
        return self._answer(run, data_root)

    def measure_equivariance(self, config: Config | None, run: Path | None, root: str | None) -> Mapping[str, Any]:
        return self._answer(config, run, root)["equivariance"]  # type: ignore[no-any-return]

    def compare(self, *asked: Any) -> int:
        self._answer(*asked)
        return self.code


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one message on stderr of a command that must end with exit code 2 and print nothing else."""
    assert main(words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("hssl: ")
    return printed.err
