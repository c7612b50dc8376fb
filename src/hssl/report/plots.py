"""Plots of the report as inline SVG whose text is text and whose colours are the page's, in light, dark and print."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from hssl.analysis.summaries import MODES, Row, Summary
from hssl.extras import extra
from hssl.runs.record import RunRecord

with extra("plots"):
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

# matplotlib knows no CSS variables: each role is drawn in a colour that nothing else has and renamed in the SVG.
_ROLES = {
    "ink": "#0a0b01",
    "muted": "#0a0b02",
    "grid": "#0a0b03",
    "paper": "#0a0b04",
    "accent": "#0a0b05",
    "a-ssl": "#0a0b11",
    "h-ssl": "#0a0b12",
    "hybrid": "#0a0b13",
    "frozen": "#0a0b14",
    "supervised": "#0a0b15",
}
# A mode is told by its shape as well as by its colour; the style sheet has the same shapes for legends.
MARKERS = {"a-ssl": "o", "h-ssl": "s", "hybrid": "^", "frozen": "v", "supervised": "P"}
# Curves that lie on one another stay visible: that of H-SSL has gaps.
_DASHES: Any = {"h-ssl": (0, (5, 1.5))}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hssl",
    "font.size": 9.5,
    "text.color": _ROLES["ink"],
    "axes.edgecolor": _ROLES["grid"],
    "axes.labelcolor": _ROLES["muted"],
    "xtick.color": _ROLES["grid"],
    "ytick.color": _ROLES["grid"],
    "xtick.labelcolor": _ROLES["muted"],
    "ytick.labelcolor": _ROLES["muted"],
    "grid.color": _ROLES["grid"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}
WIDTH_INCHES = 3.7
MOST_EPOCHS = 150
"""Epochs that a curve is drawn at: on its few hundred pixels more would show as nothing but bytes."""
_LONG = 48
"""Characters of all names of group elements above which they stand in lines of their own, not side by side."""


def accuracy_bars(rows: Sequence[Row], name: str) -> str | None:
    """Readout accuracy of one cell's rows: bar = mean, line = sample standard deviation, dot = run, diamond = paper.

    Returns None where no run has labels.
    """
    shown = [row for row in rows if row.readout is not None]
    if not shown:
        return None
    with rc_context(_STYLE):
        height = 0.56 + 0.34 * len(shown)
        figure = Figure(figsize=(WIDTH_INCHES, height))
        axes = figure.add_axes((0.22, 0.46 / height, 0.51, 1 - 0.5 / height))
        for place, row in enumerate(shown):
            summary = row.readout
            assert summary is not None
            colour = _role(row.mode)
            axes.barh(place, summary.mean, 0.62, color=colour, alpha=0.35, linewidth=0)
            if summary.std is not None:
                axes.errorbar(summary.mean, place, xerr=summary.std, color=colour, capsize=4, linewidth=1.6)
            runs = [record.evaluation.readout.accuracy for record in row.records if record.evaluation.readout]
            axes.plot(runs, [place] * len(runs), _marker(row.mode), color=colour, markersize=4)
            if row.paper is not None:
                axes.plot(
                    row.paper.mean,
                    place,
                    "D",
                    color=_ROLES["paper"],
                    markersize=6,
                    markerfacecolor="none",
                    clip_on=False,
                )
            # Beside the plot, so that no number ever lies over a bar, a dot or a diamond.
            axes.text(1.07, place, str(summary), transform=axes.get_yaxis_transform(), va="center")
        axes.set_yticks(range(len(shown)), [_row_name(row, shown) for row in shown], color=_ROLES["ink"])
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, 100)
        axes.set_ylim(len(shown) - 0.45, -0.55)
        axes.set_xlabel("readout, test accuracy (%)")
        axes.grid(axis="x", linewidth=0.6)
        return _svg(figure, name, "Test accuracy: " + "; ".join(f"{row.mode_name} {row.readout}" for row in shown))


def learning_curves(rows: Sequence[Row], key: str, label: str, name: str, chance: float | None = None) -> str | None:
    """A logged value by epoch: the mean over runs, and a band of one sample standard deviation to either side.

    A dotted line stands at `chance`, the value of who has learned nothing.

    Epochs that not every run of a row has logged are left out; of many, some are drawn, the first and the last with
    them. None where nothing was logged.
    """
    measured = [(row, [line for record in row.records if (line := _curve(record, key))]) for row in rows]
    curves = [(row, lines) for row, lines in measured if lines]
    if not curves:
        return None
    with rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, 2.3))
        axes = _upright(figure, label)
        ends = []
        for row, lines in curves:
            colour = _role(row.mode)
            epochs = _spread_out(sorted(set[int].intersection(*(set(line) for line in lines))))
            of_epoch = [[line[epoch] for line in lines] for epoch in epochs]
            means = [fmean(values) for values in of_epoch]
            ends += means[-1:]
            if len(lines) > 1:
                spread = [stdev(values) for values in of_epoch]
                low, high = ([m + sign * s for m, s in zip(means, spread, strict=True)] for sign in (-1, 1))
                axes.fill_between(epochs, low, high, color=colour, alpha=0.22, linewidth=0)
            axes.plot(
                epochs, means, color=colour, linewidth=2, linestyle=_DASHES.get(row.mode, "-"),
                marker=_marker(row.mode), markersize=6, markevery=[-1], clip_on=False,
            )  # fmt: skip
        if chance is not None:
            axes.axhline(chance, color=_ROLES["muted"], linewidth=1.2, linestyle=":")
            # A curve that ends at chance has its mark on the right end of the line: the word then stands below it.
            bottom, top = axes.get_ylim()
            below = any(abs(end - chance) < 0.1 * (top - bottom) for end in ends)
            axes.annotate(
                "chance", (1, chance), xycoords=("axes fraction", "data"), xytext=(0, -6 if below else 3),
                textcoords="offset points", ha="right", va="top" if below else "bottom", color=_ROLES["muted"],
            )  # fmt: skip
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        axes.grid(axis="y", linewidth=0.6)
        return _svg(figure, name, f"{label} by epoch for {', '.join(row.mode_name for row, _ in curves)}")


def equivariance_errors(rows: Sequence[Row], name: str) -> str | None:
    """The error of each group element on a logarithmic axis, a mark a run; the dashed line is the bound to hold."""
    shown = [row for row in rows if any(record.evaluation.equivariance for record in row.records)]
    if not shown:
        return None
    measured = [record.evaluation.equivariance for row in shown for record in row.records]
    elements = list(dict.fromkeys(element for item in measured if item for element in item.errors))
    values = [value for item in measured if item for value in item.errors.values() if value]
    bounds = {item.bound for item in measured if item and item.bound}
    # An error of exactly zero (the identity) has no place on a logarithmic axis: it is drawn at its lower end.
    floor = 10**-3 * min([*values, *bounds], default=1e-6)
    names, ending = _short(elements)
    lying = sum(map(len, names)) > _LONG
    with rc_context(_STYLE):
        if lying:
            height = 0.6 + 0.6 * len(names)
            figure = Figure(figsize=(WIDTH_INCHES, height))
            axes = figure.add_axes((0.03, 0.48 / height, 0.94, 1 - 0.5 / height))
        else:
            figure = Figure(figsize=(WIDTH_INCHES, 2.3))
            axes = _upright(figure, "relative error")
        for number, row in enumerate(shown):
            # Where an element's name stands above its marks, they keep together below it.
            shift = (0.11 if lying else 0.14) * (number - (len(shown) - 1) / 2) + (0.1 if lying else 0)
            for record in row.records:
                if (item := record.evaluation.equivariance) is None:
                    continue
                found = [
                    (elements.index(element), error) for element, error in item.errors.items() if error is not None
                ]
                places = [place + shift for place, _ in found]
                errors = [max(error, floor) for _, error in found]
                axes.plot(
                    *((errors, places) if lying else (places, errors)),
                    _marker(row.mode), color=_role(row.mode), markersize=4.5, markeredgewidth=0, alpha=0.8,
                    clip_on=False,
                )  # fmt: skip
        for bound in bounds:
            (axes.axvline if lying else axes.axhline)(bound, color=_ROLES["muted"], linestyle="--", linewidth=1)
        if lying:
            axes.set_xscale("log")
            _logarithmic(axes.xaxis)
            axes.set_ylim(len(names) - 0.6, -0.6)
            axes.set_yticks([])
            axes.set_xlabel("relative error")
            for place, element in enumerate(names):
                axes.text(0, place - 0.38, element, transform=axes.get_yaxis_transform(), va="center", fontsize=8.5)
        else:
            axes.set_yscale("log")
            _logarithmic(axes.yaxis)
            step = max(1, -(-len(names) // 6))
            axes.set_xticks(range(0, len(names), step), names[::step])
            axes.set_xlim(-0.6, len(names) - 0.4)
            axes.set_xlabel(f"group element, {ending}" if ending else "group element")
        axes.grid(axis="x" if lying else "y", linewidth=0.6)
        return _svg(figure, name, f"Equivariance error by element: {', '.join(elements)}")


def points(places: Sequence[tuple[str, Summary]], label: str, name: str) -> str:
    """Accuracy at each place of an axis, evenly spaced: mean, and sample standard deviation where there is one."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH_INCHES, 2.3))
        axes = _upright(figure, "test accuracy (%)")
        colour = _ROLES["h-ssl"]
        axes.plot(range(len(places)), [summary.mean for _, summary in places], "s-", color=colour, markersize=5)
        for place, (_, summary) in enumerate(places):
            if summary.std is not None:
                axes.errorbar(place, summary.mean, yerr=summary.std, color=colour, capsize=4, linewidth=1.4)
        axes.set_xticks(range(len(places)), [text for text, _ in places])
        axes.set_xlim(-0.4, len(places) - 0.6)
        axes.set_xlabel(label)
        axes.grid(axis="y", linewidth=0.6)
        described = "; ".join(f"{text}: {summary}" for text, summary in places)
        return _svg(figure, name, f"Test accuracy by {label}: {described}")


def _upright(figure: Figure, label: str) -> Axes:
    """Axes whose vertical label lies over them, where it is read without turning the head and never meets a tick's."""
    axes = figure.add_axes((0.14, 0.2, 0.83, 0.68))
    figure.text(0.005, 0.985, label, color=_ROLES["muted"], va="top")
    return axes


def _short(elements: Sequence[str]) -> tuple[list[str], str]:
    """The names without what all of them end with, and that ending, to be said once."""
    endings = {" ".join(["", *element.split(") ", 1)[1:]]) for element in elements}
    ending = endings.pop() if len(endings) == 1 else ""
    return [element.removesuffix(ending) for element in elements], ending.strip()


def _logarithmic(axis: Axis) -> None:
    """A logarithmic axis names its powers of ten, and numbers between them where it spans few."""
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    between = (1, 1.5, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 2 else (1,)
    axis.set_major_locator(LogLocator(subs=between, numticks=7))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    axis.set_minor_formatter(NullFormatter())


def _power(value: float) -> str:
    exponent = math.floor(math.log10(value) + 1e-9)
    return f"{value:g}" if -3 <= exponent < 4 else f"$10^{{{exponent}}}$"


def _role(mode: str) -> str:
    """The colour of a mode; methods of one's own share that of links."""
    return _ROLES.get(mode, _ROLES["accent"])


def _marker(mode: str) -> str:
    return MARKERS.get(mode, "X")


def _row_name(row: Row, shown: Sequence[Row]) -> str:
    same = [other for other in shown if other.mode == row.mode]
    return row.mode_name if len(same) == 1 else f"{MODES.get(row.mode, row.mode)} ({same.index(row) + 1})"


def _spread_out(epochs: Sequence[int]) -> list[int]:
    if len(epochs) <= MOST_EPOCHS:
        return list(epochs)
    return [epochs[round(place * (len(epochs) - 1) / (MOST_EPOCHS - 1))] for place in range(MOST_EPOCHS)]


def _curve(record: RunRecord, key: str) -> dict[int, float]:
    # Records count epochs from 0; for people the value after the first epoch stands at 1.
    return {entry["epoch"] + 1: float(entry[key]) for entry in record.metrics if entry.get(key) is not None}


def _svg(figure: Figure, name: str, description: str) -> str:
    """The figure as an SVG element to stand in a page: themed, scalable, with identifiers of its own."""
    buffer = io.StringIO()
    metadata: Mapping[str, str | None] = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", transparent=True, metadata=dict(metadata))
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for role, colour in _ROLES.items():
        text = text.replace(colour, f"var(--{role})")
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    # A hundredth of a point is not seen. Of paths alone: the numbers in texts are for people.
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path.group()), text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    # Several plots share a page: every identifier and every reference to one gets the plot's name.
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href|href)="#', rf'\1="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    size = re.search(r' width="([\d.]+)pt" height="[\d.]+pt"', text)
    assert size is not None
    frame = f'role="img" aria-label="{_attribute(description)}" style="max-width: {float(size.group(1)) * 4 / 3:.0f}px"'
    return text.replace(size.group(0), "", 1).replace("<svg", f"<svg {frame}", 1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
