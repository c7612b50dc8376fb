"""Sampled minus all, with the standard error of the difference."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fake_results import result
from fakes.records import configuration, record
from hssl.benchmarks.parity import as_table, differences, sides
from hssl.errors import DataError
from hssl.runs.record import RunRecord, write
from tools.render_benchmarks import main, page


def run(folder: Path, streams: str, accuracy: float, seed: int, **changes: Any) -> RunRecord:
    config = configuration("scale", "h-ssl", seed, views__streams=streams, evaluation__readout="afterwards", **changes)
    return record(folder, config, accuracy=accuracy)


def test_the_difference_and_its_standard_error(tmp_path: Path) -> None:
    sampled = [run(tmp_path, "sampled", value, seed) for seed, value in enumerate((90.0, 92.0, 94.0))]
    everything = [run(tmp_path, "all", value, seed) for seed, value in enumerate((91.0, 91.0, 94.0))]
    found = differences(sampled, everything)
    assert [entry.name.rpartition(", ")[2] for entry in found] == ["readout", "linear probe", "kNN"]
    first = found[0]
    assert (first.sampled, first.everything, first.difference) == (92.0, 92.0, 0.0)
    assert first.standard_error == pytest.approx(math.sqrt(4 / 3 + 3 / 3))
    assert first.runs == (3, 3)
    columns, lines = as_table(found)
    assert {len(line) for line in lines} == {len(columns)}
    assert lines[0][3] == "+0.00 ± 1.53"
    text = page({"data": result("data")}, tmp_path, found, "Made on CPU: made up.")
    assert "| +0.00 ± 1.53 |" in text
    assert "Made on CPU: made up." in text
    assert "What sampled streams do" not in page({"data": result("data")}, tmp_path)


def test_one_run_has_no_error(tmp_path: Path) -> None:
    found = differences([run(tmp_path, "sampled", 90.0, 0)], [run(tmp_path, "all", 91.0, 0)])[0]
    assert found.difference == -1.0
    assert math.isnan(found.standard_error)


def test_sides_are_the_runs_that_differ_in_their_streams_alone(tmp_path: Path) -> None:
    sampled = [run(tmp_path, "sampled", 90.0, seed) for seed in (0, 1)]
    everything = run(tmp_path, "all", 91.0, 5)
    # Neither longer runs nor another base space have a counterpart.
    others = [run(tmp_path, "all", 92.0, 0, trainer__epochs=9), run(tmp_path, "all", 92.0, 0, views__base_size=(2,))]
    assert sides([*others, *sampled, everything]) == (sampled, [everything])
    assert sides([*others, *sampled]) == ([], [])
    assert sides([]) == ([], [])


def test_the_page_takes_its_runs_from_records_of_any_kind(tmp_path: Path) -> None:
    source, records = tmp_path / "bench", tmp_path / "records"
    source.mkdir()
    records.mkdir()
    (source / "data.json").write_text(json.dumps(result("data")))
    runs = [run(tmp_path, "sampled", 90.0, 0), run(tmp_path, "all", 91.5, 0)]
    longer = run(tmp_path, "all", 1.0, 0, trainer__epochs=9)
    for number, made in enumerate((*runs, longer)):
        write(made, records / f"{number}.json")
    assert main([str(source), str(tmp_path / "page.md"), "--runs", str(records)]) == 0
    assert "| -1.50, a single run |" in (tmp_path / "page.md").read_text()


def test_unlike_runs_are_refused(tmp_path: Path) -> None:
    sampled, everything = run(tmp_path, "sampled", 90.0, 0), run(tmp_path, "all", 91.0, 0)
    with pytest.raises(DataError, match="differ in more than seed and streams"):
        differences([sampled], [run(tmp_path, "all", 91.0, 0, trainer__epochs=9)])
    with pytest.raises(DataError, match="'all' is none"):
        differences([sampled], [sampled])
    with pytest.raises(DataError, match="'sampled' is none"):
        differences([everything], [everything])
