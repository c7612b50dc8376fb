"""Measure, write, show: nothing that was measured is lost, and every kind has a table."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.fake_results import ROWS, result
from hssl.benchmarks import run as bench
from hssl.benchmarks import scaling
from hssl.cli import BENCHMARKS
from hssl.errors import ConfigurationError


def test_the_command_line_names_every_kind() -> None:
    assert BENCHMARKS == bench.KINDS


@pytest.mark.parametrize("kind", BENCHMARKS)
def test_rows_are_measured_written_and_shown(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(bench._MEASURES, kind, lambda rounds, device: iter(ROWS[kind]))
    monkeypatch.setattr(bench, "ceilings", lambda device: result("layers")["ceilings"])
    file = tmp_path / "new" / f"{kind}.json"
    bench.run(kind, 5, torch.device("cpu"), file)
    written = json.loads(file.read_text())
    assert written["rows"] == ROWS[kind]
    assert written["environment"]["torch"] == torch.__version__
    assert (written["rounds"], written["benchmark"]) == (5, kind)
    shown = capsys.readouterr().out
    for line in bench.table(written)[1]:
        assert line[0].split()[0] in shown
    if kind == "layers":
        assert written["geometric_mean"] == pytest.approx(4.0)


def test_what_was_measured_before_a_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(rounds: int, device: torch.device) -> Iterator[dict[str, Any]]:
        yield ROWS["step"][0]
        raise KeyboardInterrupt

    monkeypatch.setitem(bench._MEASURES, "step", broken)
    file = tmp_path / "step.json"
    file.write_text("of an earlier day")
    with pytest.raises(KeyboardInterrupt):
        bench.run("step", 5, torch.device("cpu"), file)
    assert file.read_text() == "of an earlier day"
    assert json.loads((tmp_path / "step.part.json").read_text())["rows"] == ROWS["step"][:1]


def test_a_point_that_does_not_fit_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(axis: str, value: float, formulation: str, steps: int, device: torch.device) -> dict[str, Any]:
        if axis == scaling.PAPER and formulation == "plain":
            raise ConfigurationError("a measurement in a process of its own failed")
        return {"axis": axis, "value": value, "formulation": formulation, "steps": steps}

    monkeypatch.setattr(scaling, "measure", measure)
    rows = list(bench._MEASURES["scaling"](3, torch.device("cpu")))
    points = sum(len(values) for values in scaling.AXES.values())
    assert len(rows) == 3 * points + 2
    assert [(row["formulation"], row["steps"]) for row in rows[-2:]] == [("sampled", 0), ("all streams", 0)]


@pytest.mark.parametrize("kind", BENCHMARKS)
def test_a_table_has_a_cell_for_each_column(kind: str) -> None:
    columns, lines = bench.table(result(kind))
    assert len(lines) == len(ROWS[kind])
    assert all(len(line) == len(columns) for line in lines)


def test_times_and_ratios_as_text() -> None:
    assert bench.milliseconds(0.00123) == "1.23 ms"
    assert bench.milliseconds(2.5) == "2,500 ms"
    assert bench.ratio({"median": 8.0, "low": 7.5, "high": 8.25}) == "8.00x (7.50-8.25)"
