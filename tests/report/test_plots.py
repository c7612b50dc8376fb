"""Plots say what they show in words that fit."""

import json
import re
from pathlib import Path

import pytest

from fakes.records import configuration, write_run
from hssl.analysis.summaries import Row, comparison_table
from hssl.report.plots import equivariance_errors, learning_curves
from hssl.runs.record import collect


def rows_with_errors(folder: Path, errors: dict[str, float]) -> list[Row]:
    run = write_run(folder, configuration())
    evaluation = json.loads((run / "evaluation.json").read_text())
    evaluation["equivariance"]["errors"] = errors
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    return comparison_table([collect(run)])


def texts(svg: str | None) -> list[str]:
    assert svg is not None
    # Powers of ten are several pieces of text.
    return [
        " ".join(re.sub(r"<[^>]*>|<!--.*?-->|\n", "", text).split()).replace("1 0 − ", "10−")
        for text in re.findall("<text.*?</text>", svg, re.DOTALL)
    ]


def height(svg: str | None) -> float:
    assert svg is not None
    box = re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg)
    assert box is not None
    return float(box.group(1))


def test_long_names_of_elements_stand_in_lines_of_their_own(tmp_path: Path) -> None:
    few = {f"x{factor}": factor for factor in (1.25, 1.5)}
    many = {f"x1 of the image shrunk by {factor} against x1.25": factor for factor in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)}
    beside = equivariance_errors(rows_with_errors(tmp_path / "few", few), "few")
    below = equivariance_errors(rows_with_errors(tmp_path / "many", many), "many")
    assert set(few) <= set(texts(beside))
    assert set(many) <= set(texts(below))
    assert height(below) > height(beside)


@pytest.mark.parametrize("errors", [(1.1, 1.3), (0.02, 0.6), (1e-6, 1e-2)])
def test_a_logarithmic_axis_names_numbers_whatever_it_spans(errors: tuple[float, float], tmp_path: Path) -> None:
    rows = rows_with_errors(tmp_path, dict(zip(("90°", "180°"), errors, strict=True)))
    found = texts(equivariance_errors(rows, "name"))
    assert len([text for text in found if re.fullmatch(r"[\d.]+|10−\d+", text)]) >= 3, found


def test_a_single_epoch_has_one_tick(tmp_path: Path) -> None:
    run = write_run(tmp_path, configuration(trainer__epochs=1))
    found = texts(learning_curves(comparison_table([collect(run)]), "train/loss", "loss", "name"))
    assert [text for text in found if re.fullmatch(r"\d+", text)] == ["1"]
