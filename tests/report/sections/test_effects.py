"""Effects of decisions: the studies' comparisons, and nothing where no study was begun."""

from pathlib import Path

import pytest

from fakes.grid import SEEDS, grid
from hssl.analysis import claims
from hssl.analysis.entries import entries
from hssl.report.document import Number
from hssl.report.sections.effects import effects

ACCURACIES = SEEDS | {
    "mnist-scale-hssl-nt-xent": [70.0, 70.4, 70.1],
    "mnist-scale-assl-nt-xent": [98.1, 98.3, 98.2],
}


def test_each_variant_is_told_against_the_first(tmp_path: Path) -> None:
    table = effects(entries(grid(tmp_path, ACCURACIES, study="loss")))
    lines = {line[3]: dict(zip(table.headings, line, strict=True)) for line in table.lines}
    assert lines.keys() == {"A-SSL", "H-SSL"}
    without, with_it, apart = (lines["H-SSL"][name] for name in ("Without", "With", "Difference (95 %)"))
    assert isinstance(without, Number)
    assert isinstance(with_it, Number)
    assert isinstance(apart, Number)
    assert (without.text, with_it.text) == ("98.1 ± 0.2", "70.2 ± 0.2")
    assert without.value is not None
    assert with_it.value is not None
    assert apart.value == pytest.approx(with_it.value - without.value)
    assert lines["H-SSL"]["Tested"] == claims.DIFFERENT
    assert lines["A-SSL"]["Tested"] == claims.EQUAL


def test_what_was_not_run_has_no_line(tmp_path: Path) -> None:
    assert effects(entries(grid(tmp_path, SEEDS, seeds=1))).lines == ()
