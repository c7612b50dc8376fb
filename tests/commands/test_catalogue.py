"""Recipes and fields: a line each for programs, a table that fits for people."""

import re
import sys

import pytest

from hssl.cli import main
from hssl.paper.recipes import describe, recipe_names
from stand_in_engine import refused


def test_recipes_are_one_plain_line_each_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split()[0] for line in lines if "table" in line or "not in the paper" in line]
    assert rows == list(recipe_names())
    row = next(line for line in lines if line.startswith("mnist-scale-hssl "))
    assert row.split("  ")[0] == "mnist-scale-hssl"
    for words in ("98.3 ± 0.2", "8 GPU h", "< 1 min", "< 3 min", "table 1, SESN"):
        assert words in row
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(("width", "columns"), [(200, 6), (90, 5), (70, 3)])
def test_recipes_fit_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, columns: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    assert main(["recipes", "mnist-scale-cnn"]) == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    table = lines[: lines.index("")]
    assert max(map(len, table)) <= width
    assert sum(name in table[0] for name in ("recipe", "expected", "cost", "smoke", "quick", "source")) == columns
    assert any(line.startswith("mnist-scale-cnn-supervised") for line in table)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("tiny-imagenet-scale", [f"tiny-imagenet-scale-{mode}" for mode in ("assl", "hssl", "frozen", "supervised")]),
        ("mnist-*-mlp-hssl", ["mnist-translation-mlp-hssl"]),
        ("cifar10-scale-hssl", ["cifar10-scale-hssl"]),
    ],
)
def test_recipes_by_part_of_a_name_or_pattern(
    capsys: pytest.CaptureFixture[str], pattern: str, names: list[str]
) -> None:
    assert main(["recipes", pattern]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()[1 : 1 + len(names)]] == names
    assert f"to run one: {describe(names[0]).command}" in shown
    assert shown.splitlines()[1 + len(names)] == ""


def test_a_pattern_that_matches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'mnist-scale-hssl'" in refused(capsys, "recipes", "mnist-scal-hssl")


def test_fields_are_listed_with_what_they_accept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--fields"]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("--views.distance "))
    assert "euclidean | topological" in row
    assert sum(line.startswith("--") for line in lines) > 40
