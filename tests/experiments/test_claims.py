"""What the theory says is tested, not judged by eye."""

from pathlib import Path

import pytest

from experiments.fake_grid import SEEDS, grid
from hssl.experiments.claims import statements
from hssl.experiments.differences import difference
from hssl.experiments.entries import entries
from hssl.experiments.tables import summarise


def test_the_theory_is_tested(tmp_path: Path) -> None:
    said = statements(entries(grid(tmp_path, SEEDS)))
    assert len(said) == 2
    told = difference(summarise(SEEDS["mnist-scale-hssl"]), summarise(SEEDS["mnist-scale-assl"]))
    assert told is not None
    assert f"p = {told.p:.2g}" in said[0]
    assert said[0].startswith("mnist-scale, with structure")
    assert said[0].endswith("equal to within 2 points.")
    assert said[1].endswith("H-SSL stays behind, as it should.")


@pytest.mark.parametrize(
    ("hssl", "verdict"),
    [([90.0, 90.2, 90.1], ": different."), ([70.0, 99.0, 85.0], "neither shown to be equal nor to be different.")],
)
def test_other_runs_have_another_verdict(hssl: list[float], verdict: str, tmp_path: Path) -> None:
    said = statements(entries(grid(tmp_path, SEEDS | {"mnist-scale-hssl": hssl})))
    assert said[0].endswith(verdict)


def test_one_run_proves_nothing(tmp_path: Path) -> None:
    said = statements(entries(grid(tmp_path, SEEDS, seeds=1)))
    assert all("cannot be tested" in text for text in said)
