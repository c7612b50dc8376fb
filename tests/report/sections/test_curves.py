"""Learning curves of every row of the tables, modes by colour, and plots of what was logged alone."""

import re
from pathlib import Path

import pytest

from fakes.grid import SEEDS, grid
from fakes.records import configuration, record
from hssl.analysis.entries import entries
from hssl.analysis.summaries import comparison_table
from hssl.report.document import Plot
from hssl.report.plots import MOST_EPOCHS
from hssl.report.reproduction import drawn_together
from hssl.report.sections.curves import curves, row_curves


def label(plot: Plot) -> str:
    """What the vertical axis says, which is said to who does not see it as well."""
    found = re.search(r'aria-label="(.*) by epoch', plot.svg)
    assert found is not None
    assert f">{found[1]}</text>" in plot.svg
    return found[1]


def test_every_row_has_its_curves(tmp_path: Path) -> None:
    section = curves(drawn_together(entries(grid(tmp_path, SEEDS, seeds=2))))
    assert section is not None
    control = "MNIST · scale · CNN (6 x CHW)"
    assert [(plot.heading, label(plot)) for plot in section.plots] == [
        (row, name)
        for row in ("MNIST · scale · SESN", control, f"{control}, shared trunk")
        for name in ("contrastive loss", "cross-entropy", "accuracy of the readout on training images (%)")
    ]
    assert section.modes == ("a-ssl", "h-ssl", "frozen", "supervised")
    assert "stroke: var(--a-ssl)" in section.plots[0].svg
    assert "stroke: var(--frozen)" not in section.plots[0].svg


def test_a_band_needs_two_runs(tmp_path: Path) -> None:
    def loss(seeds: int) -> str:
        records = [record(tmp_path, configuration(mode="h-ssl", seed=seed)) for seed in range(seeds)]
        return next(iter(row_curves(comparison_table(records), "row", 0))).svg

    assert "fill-opacity: 0.22" in loss(2)
    assert "fill-opacity: 0.22" not in loss(1)


def test_what_was_not_logged_is_not_drawn(tmp_path: Path) -> None:
    silent = record(tmp_path, configuration()).model_copy(update={"metrics": ()})
    assert list(row_curves(comparison_table([silent]), "row", 0)) == []
    assert curves({}) is None


def test_a_single_epoch_is_no_curve_where_another_split_has_more(tmp_path: Path) -> None:
    made = record(tmp_path, configuration(mode="supervised"))
    last = {**made.metrics[-1], "test/accuracy": 90.0}
    once = made.model_copy(update={"metrics": (*made.metrics[:-1], last)})
    always = made.model_copy(update={"metrics": tuple({**line, "test/accuracy": 90.0} for line in made.metrics)})
    labels = [label(list(row_curves(comparison_table([item]), "row", 0))[-1]) for item in (once, always)]
    assert labels == [f"accuracy of the readout on {images} images (%)" for images in ("training", "test")]


def test_long_trainings_are_drawn_with_few_points_from_the_first_to_the_last(tmp_path: Path) -> None:
    def drawn(epochs: int) -> list[tuple[float, float]]:
        made = record(tmp_path, configuration())
        lines = tuple({"epoch": epoch, "train/loss": 10 / (1 + epoch % 7)} for epoch in range(epochs))
        (plot,) = row_curves(comparison_table([made.model_copy(update={"metrics": lines})]), "row", 0)
        curve = max(re.findall(r'd="(M[^"]*)"', plot.svg), key=len)
        return [(float(x), float(y)) for x, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", curve)]

    short, long = drawn(100), drawn(1300)
    assert len(short) == 100
    assert MOST_EPOCHS / 2 < len(long) <= MOST_EPOCHS
    # Both axes are as wide, and the curves reach from end to end.
    assert long[0][0] == pytest.approx(short[0][0], abs=0.1)
    assert long[-1][0] == pytest.approx(short[-1][0], abs=0.1)
