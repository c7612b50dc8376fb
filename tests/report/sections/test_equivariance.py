"""Equivariance before and after training: means over elements that say something, and what was not measured."""

from pathlib import Path

import pytest

from fakes.grid import SEEDS, grid
from hssl.report.document import Number, Section
from hssl.report.reproduction import reproduction
from hssl.report.sections.equivariance import NOT_MEASURED, beside, equivariance, errors_of
from hssl.runs.record import Equivariance, RunRecord


def measured(errors: dict[str, float | None], held: bool | None = None) -> Equivariance:
    bound = None if held is None else 1e-5
    return Equivariance(group="G", exactness="exact", bound=bound, held=held, errors=errors)


def test_the_identity_says_nothing() -> None:
    errors = errors_of([measured({"0°": 0.0, "90°": 0.2, "180°": 0.4}), measured({"0°": 0.0, "90°": 0.3, "180°": 0.7})])
    assert errors.mean is not None
    assert errors.mean.mean == pytest.approx(0.4)
    assert errors.mean.std == pytest.approx(0.2 / 2**0.5)
    assert errors.largest == 0.7
    # The control: groups that leave the identity out lose no element.
    kept = errors_of([measured({"x1.25": 0.2, "x1.5": 0.4})]).mean
    assert kept is not None
    assert kept.mean == pytest.approx(0.3)


def test_what_diverged_is_told_and_in_no_mean() -> None:
    errors = errors_of([measured({"90°": None, "180°": 0.1}), measured({"90°": 0.2, "180°": 0.4})])
    assert errors.diverged == 1
    assert errors.mean is not None
    assert errors.mean.mean == pytest.approx(0.3)
    assert errors_of([None]).mean is None


def changed(records: dict[str, RunRecord], before: Equivariance | None, after: Equivariance) -> dict[str, RunRecord]:
    return {
        name: record.model_copy(
            update={
                "evaluation": record.evaluation.model_copy(
                    update={"equivariance": after, "equivariance_untrained": before}
                )
            }
        )
        for name, record in records.items()
    }


def section_of(records: dict[str, RunRecord]) -> Section | None:
    sections = reproduction(records, {}).sections
    return next((section for section in sections if section.title.startswith("Equivariance")), None)


def line_of(records: dict[str, RunRecord], row: str, training: str) -> dict[str, str | Number]:
    section = section_of(records)
    assert section is not None
    table = section.tables[0]
    line = next(line for line in table.lines if line[:2] == (row, training))
    return dict(zip(table.headings, line, strict=True))


def test_before_and_after_stand_side_by_side(tmp_path: Path) -> None:
    records = changed(
        grid(tmp_path, SEEDS, seeds=2), measured({"a": 0.2, "b": 0.4}, True), measured({"a": 0.5, "b": 0.7}, False)
    )
    line = line_of(records, "MNIST · scale · SESN", "H-SSL")
    assert line["Mean before"] == Number("0.30 ± 0", pytest.approx(0.3), "n 2")
    assert line["Mean after"] == Number("0.60 ± 0", pytest.approx(0.6), "n 2")
    assert (line["Largest before"], line["Largest after"]) == (Number("0.40", 0.4), Number("0.70", 0.7))
    assert line["Held after"] == "no, in 2 of 2 runs"


def test_older_records_say_that_nothing_was_measured_before(tmp_path: Path) -> None:
    records = changed(grid(tmp_path, SEEDS, seeds=2), None, measured({"a": 0.5, "b": 0.7}))
    line = line_of(records, "MNIST · scale · SESN", "H-SSL")
    assert line["Mean before"] == Number(NOT_MEASURED)
    assert line["Held after"] == "–"


def test_errors_of_different_elements_are_not_averaged(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS, seeds=2)
    one = changed(records, None, measured({"a": 0.5}))
    other = changed(records, None, measured({"other": 0.1}))
    mixed = {name: (one if name.endswith("seed0") else other)[name] for name in records}
    section = section_of(mixed)
    assert section is not None
    lines = [line for line in section.tables[0].lines if line[:2] == ("MNIST · scale · SESN", "H-SSL")]
    assert [line[-1] for line in lines] == ["a", "other"]


def test_what_elements_share_is_said_once(tmp_path: Path) -> None:
    after = measured({"(+4, +0) px off": 0.1, "(+0, +4) px off": 0.1, "(+8, +8) px off": 0.1})
    line = line_of(changed(grid(tmp_path, SEEDS, seeds=1), None, after), "MNIST · scale · SESN", "H-SSL")
    assert line["Elements"] == "3: (+4, +0) to (+8, +8) px off"


def test_what_errors_are_read_against_stands_below_them(tmp_path: Path) -> None:
    def scales(law: float, wrong: float) -> Equivariance:
        context: dict[str, float | None] = {"a: wrong stream": wrong, "a: other image": 1.2, "a: own size": 9.0}
        return measured({"a": law}).model_copy(update={"context": context | {"b: round trip": None}})

    line = line_of(
        changed(grid(tmp_path, SEEDS, seeds=1), scales(0.4, 0.3), scales(0.2, 0.3)), "MNIST · scale · SESN", "H-SSL"
    )
    before, after = line["Mean before"], line["Mean after"]
    assert isinstance(before, Number)
    assert isinstance(after, Number)
    assert before.below == ("wrong stream 0.30 (farther in 0 of 1)", "other image 1.20")
    assert after.below == ("wrong stream 0.30 (farther in 1 of 1)", "other image 1.20")
    border = measured({"(+4, +0) px off the border": 0.0}).model_copy(
        update={"context": {"(+4, +0) px with the border": 0.5, "(+0, +4) px with the border": 0.7}}
    )
    assert beside([border, None]) == ("with the border 0.60",)
    assert beside([measured({"a": 0.1})]) == ()


def test_the_strength_of_the_action_stands_below_its_error(tmp_path: Path) -> None:
    def acting(*strengths: float | None) -> Equivariance:
        values = zip(("0°", "90°", "180°"), (0.0, *strengths), strict=True)
        context = {f"{name}: strength of the action": value for name, value in values}
        return measured({"0°": 0.0, "90°": 1e-7, "180°": 1e-7}, True).model_copy(update={"context": context})

    assert beside([acting(0.5, 0.7), acting(0.6, None), None]) == ("strength of the action 0.60",)
    runs = grid(tmp_path, SEEDS, seeds=2)
    line = line_of(changed(runs, acting(0.5, 0.7), acting(0.6, 0.8)), "MNIST · scale · SESN", "H-SSL")
    assert line["Held after"] == "yes"
    before = line["Mean before"]
    assert isinstance(before, Number)
    assert before.below == ("strength of the action 0.60",)
    # Held by features that do not change: the bound is met, and nothing is claimed.
    idle = line_of(changed(runs, None, acting(1e-6, 1e-5)), "MNIST · scale · SESN", "H-SSL")
    assert idle["Held after"] == "yes, but the features do not change in 2 of 2 runs"


def test_the_strength_is_explained_where_it_was_measured(tmp_path: Path) -> None:
    old = measured({"90°": 1e-7}, True)
    new = old.model_copy(update={"context": {"90°: strength of the action": 0.5}})
    for after, told in ((old, False), (new, True)):
        section = section_of(changed(grid(tmp_path, SEEDS, seeds=1), None, after))
        assert section is not None
        assert any("near 0, a small error is no evidence" in text for text in section.text) is told


def test_variants_of_a_study_are_named(tmp_path: Path) -> None:
    section = section_of(grid(tmp_path, SEEDS, seeds=1, study="basis"))
    assert section is not None
    tables, beyond = section.tables
    assert {line[0] for line in beyond.lines} == {"MNIST · scale · SESN, untruncated"}
    assert beyond.folded
    assert len(tables.lines) == 12


def test_without_a_measurement_there_is_no_section() -> None:
    assert equivariance([], {}) is None
