"""The README's picture of the results shows the records' numbers, and says in words what it shows."""

import dataclasses
import re
from pathlib import Path

import pytest
from scipy import stats

from fakes.grid import grid
from hssl.analysis.entries import Entry, entries
from tools.results_picture import described, draw, results, subtitle, title

ACCURACIES = {"mnist-scale-assl": [86.0, 87.1, 86.4], "mnist-scale-hssl": [83.0, 84.2, 83.5],
              "mnist-scale-frozen": [67.0, 68.2, 67.1], "mnist-scale-supervised": [98.0, 98.1, 97.8]}  # fmt: skip


def found(folder: Path, seeds: int = 3, data: str = "mnist") -> list[Entry]:
    return entries(grid(folder, ACCURACIES, seeds, of=(["table1"], [data], ["scale", "rotation", "translation"])))


def numbers(folder: Path, of: list[Entry]) -> list[str]:
    """What is written in the picture: matplotlib notes each text beside its outlines."""
    path = folder / "picture.svg"
    assert draw(of, path)
    return re.findall("<!-- (.*?) -->", path.read_text())


def test_every_way_of_training_stands_with_its_mean_and_its_gain(tmp_path: Path) -> None:
    there = found(tmp_path)
    written = numbers(tmp_path, there)
    # The fake runs' 10-shot accuracy is 10 points below their readout.
    for shown in ("Scale", "Rotation", "Translation", "76.5", "73.6", "57.4", "88.0", "+19.1", "+16.1", "+30.5"):
        assert shown in written, shown
    # Three panels of four; pairs without a limit are none of them.
    assert sum(re.fullmatch(r"\d\d\.\d", text) is not None for text in written) == 12
    assert sum(text == "A-SSL" for text in written) == 3


def test_the_words_say_what_is_measured_on_what(tmp_path: Path) -> None:
    shown = results(found(tmp_path))
    assert shown is not None
    assert title(shown) == "10-shot accuracy on MNIST (linear probe, ten labels a class)"
    assert "over 3 seeds, quick budget (4 epochs of 5,000 images)" in subtitle(shown)
    assert "light marks: linear probe" in subtitle(shown)
    assert "Scale: A-SSL 76.5 ± 0.6, H-SSL 73.6 ± 0.6, Frozen 57.4 ± 0.7, Supervised 88.0 ± 0.2; " in described(shown)
    single = results(found(tmp_path / "one", seeds=1))
    assert single is not None
    assert subtitle(single).startswith("A single seed, quick budget")


def test_error_bars_are_the_interval_of_the_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    drawn: list[tuple[float, float]] = []
    monkeypatch.setattr(Axes, "vlines", lambda _, x, low, high, **__: drawn.append((low, high)))
    assert draw(found(tmp_path), tmp_path / "picture.png")
    tens = [value - 10 for value in ACCURACIES["mnist-scale-assl"]]
    expected = stats.ttest_1samp(tens, 0).confidence_interval(0.95)
    assert any(ends == pytest.approx((expected.low, expected.high)) for ends in drawn)
    # The control: a standard deviation is another bar.
    assert not any(ends == pytest.approx((76.5 - 0.557, 76.5 + 0.557), abs=0.01) for ends in drawn)


def test_older_records_are_shown_by_linear_probe(tmp_path: Path) -> None:
    old = []
    for entry in found(tmp_path):
        records = [
            record.model_copy(update={"evaluation": record.evaluation.model_copy(update={"few_labels": None})})
            for record in entry.records
        ]
        old.append(dataclasses.replace(entry, records=tuple(records)))
    shown = results(old)
    assert shown is not None
    assert (shown.measure, shown.lighter) == ("linear_probe", None)
    assert "83.5" in numbers(tmp_path, old)


def test_what_has_no_rows_on_mnist_has_no_picture(tmp_path: Path) -> None:
    other = found(tmp_path, seeds=1, data="cifar10")
    assert results(other) is None
    assert not draw(other, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
