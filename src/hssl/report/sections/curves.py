"""Learning curves of a row of the tables: loss and accuracy by epoch, modes by colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hssl.analysis.chance import chance_loss
from hssl.analysis.summaries import MODES, Row
from hssl.report.document import Plot, Section, modes_of
from hssl.report.plots import learning_curves

# What is drawn: its name, the keys that it may be logged under, the modes that log it, and a word for identifiers.
_CURVES: tuple[tuple[str, tuple[str, ...], tuple[str, ...], str], ...] = (
    ("contrastive loss", ("train/loss",), ("a-ssl", "h-ssl", "hybrid"), "loss"),
    ("cross-entropy", ("train/loss",), ("frozen", "supervised"), "entropy"),
    ("accuracy of the readout", ("test/accuracy", "train/accuracy"), tuple(MODES), "curve"),
)


def row_curves(rows: Sequence[Row], heading: str, number: int) -> Iterable[Plot]:
    """The plots of a row's runs: contrastive loss, cross-entropy and accuracy, as far as they were logged.

    Args:
        rows: its modes.
        heading: its name.
        number: its own within the page.
    """
    for label, keys, of, name in _CURVES:
        shown = [row for row in rows if row.mode in of]
        # Training and test accuracy never share a plot. A single epoch is no curve, where another key has more.
        for key in sorted(keys, key=lambda key: not _is_curve(shown, key)):
            split = {"test/accuracy": " on test images (%)", "train/accuracy": " on training images (%)"}.get(key, "")
            chances = {chance_loss(row.records[0]) for row in shown}
            chance = chances.pop() if len(chances) == 1 else None
            if plot := learning_curves(
                shown, key, label + split, f"{name}{number}", chance if name == "loss" else None
            ):
                yield Plot(heading, plot)
                break


def _is_curve(rows: Sequence[Row], key: str) -> bool:
    return any(sum(key in line for line in record.metrics) > 1 for row in rows for record in row.records)


def curves(cells: Mapping[str, Sequence[Row]]) -> Section | None:
    """Of every row of the tables, by its name, that has runs."""
    plots = [plot for number, (name, rows) in enumerate(cells.items()) for plot in row_curves(rows, name, number)]
    if not plots:
        return None
    drawn = {key for _, keys, _, _ in _CURVES for key in keys}
    return Section(
        "Learning curves",
        (
            "Mean over runs; the band is one sample standard deviation to either side. The contrastive losses of A-SSL "
            "and H-SSL are those of their own pairs; at chance all pairs look alike. A frozen network has no loss of "
            "its own; where its readout is trained afterwards it has no curve.",
        ),
        plots=tuple(plots),
        modes=modes_of(
            row.mode
            for rows in cells.values()
            for row in rows
            if any(drawn & line.keys() for record in row.records for line in record.metrics)
        ),
    )
