"""The README's picture of the results: how far each way of training is above random weights, seen at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hssl.analysis.differences import Difference, signed
from hssl.analysis.entries import Entry
from hssl.analysis.summaries import DATASETS, MODES, Summary, listed
from hssl.config import Transformation
from hssl.report.colours import LIGHT
from hssl.report.plots import MARKERS
from hssl.runs.record import RunRecord

_PANELS: Mapping[Transformation, str] = {"scale": "Scale", "rotation": "Rotation", "translation": "Translation"}
_MODES = ("a-ssl", "h-ssl", "frozen", "supervised")
_BESIDE = 0.36
"""How far to the right of a mark its lighter one stands, in places of the axis."""
_TITLES = {
    "few_labels": "10-shot accuracy",
    "linear_probe": "linear-probe accuracy",
    "knn": "kNN accuracy",
    "readout": "readout accuracy",
}
STYLE: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "hssl",
    "font.size": 10.5,
    "text.color": LIGHT["ink"],
    "axes.edgecolor": LIGHT["grid"],
    "axes.labelcolor": LIGHT["muted"],
    "xtick.labelcolor": LIGHT["ink"],
    "ytick.labelcolor": LIGHT["muted"],
    "xtick.color": LIGHT["grid"],
    "ytick.color": LIGHT["grid"],
    "grid.color": LIGHT["grid"],
    "axes.axisbelow": True,
}


@dataclass(frozen=True)
class Results:
    """What the picture shows.

    Attributes:
        measure: of the marks.
        lighter: of the lighter marks beside them; None where there are none.
        panels: by transformation, then by mode.
    """

    measure: str
    lighter: str | None
    panels: Mapping[Transformation, Mapping[str, Entry]]

    @property
    def records(self) -> list[RunRecord]:
        return [record for modes in self.panels.values() for entry in modes.values() for record in entry.records]


def results(found: Sequence[Entry]) -> Results | None:
    """Table 1 on MNIST by the measure that learns least of its own; None where no cell of it has labels."""
    here = [e for e in found if e.cell.artefact == "table1" and e.cell.dataset == "mnist" and e.cell.variant is None]
    there = [measure for measure in _TITLES if any(entry.measured(measure) for entry in here)]
    if not there:
        return None
    lighter = "linear_probe" if there[0] == "few_labels" and "linear_probe" in there else None
    panels: dict[Transformation, dict[str, Entry]] = {}
    for transformation in _PANELS:
        for entry in here:
            if entry.cell.transformation == transformation and entry.measured(there[0]):
                panels.setdefault(transformation, {})[entry.cell.mode] = entry
    return Results(there[0], lighter, panels)


def draw(found: Sequence[Entry], path: Path) -> bool:
    """Writes the picture as PNG or SVG, as the path's ending says. Returns whether there is anything to show."""
    shown = results(found)
    if shown is None:
        return False
    with rc_context(STYLE):
        figure = Figure(figsize=(9.6, 4.5))
        figure.set_facecolor("white")
        axes = figure.subplots(1, len(shown.panels), sharey=True, squeeze=False)[0]
        figure.subplots_adjust(left=0.055, right=0.99, top=0.725, bottom=0.115, wspace=0.06)
        for one, (transformation, modes) in zip(axes, shown.panels.items(), strict=True):
            _panel(one, _PANELS[transformation], modes, shown)
        axes[0].yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes[0].set_yticks(axes[0].get_yticks(), [f"{tick:.0f} %" for tick in axes[0].get_yticks()])
        low, high = _limits(shown)
        axes[0].set_ylim(low, high)
        figure.text(0.012, 0.968, title(shown), fontsize=14, fontweight="bold", va="top")
        figure.text(0.012, 0.898, subtitle(shown), fontsize=10, color=LIGHT["muted"], va="top", linespacing=1.45)
        metadata: Any = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=180, metadata=metadata)
    return True


def title(shown: Results) -> str:
    """What is measured, and on what."""
    how = " (linear probe, ten labels a class)" if shown.measure == "few_labels" else ""
    return f"{_capital(_TITLES[shown.measure])} on {DATASETS['mnist']}{how}"


def subtitle(shown: Results) -> str:
    """How many seeds, which budget, and what the marks mean."""
    records = shown.records
    told = [entry.measured(shown.measure) for modes in shown.panels.values() for entry in modes.values()]
    counts = sorted({summary.count for summary in told if summary is not None})
    seeds = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
    over = "A single seed" if counts == [1] else f"Mean and its 95 % interval over {seeds} seeds"
    epochs = sorted({int(record.configuration["trainer"]["epochs"]) for record in records if record.mode != "frozen"})
    images = sorted({int(record.evaluation.data.get("train_images") or 0) for record in records} - {0})
    numbers = ((epochs, "epochs"), (images, "images"))
    trained = [f"{listed([f'{n:,}' for n in values])} {name}" for values, name in numbers if values]
    budget = f"{listed(sorted({record.budget for record in records}))} budget ({' of '.join(trained)})"
    light = "; light marks: linear probe, all labels" if shown.lighter else ""
    return f"{over}, {budget}.\nDashed: random weights; under each name the gain over them in points{light}."


def described(shown: Results) -> str:
    """The picture in words, for who does not see it."""
    told = []
    for transformation, modes in shown.panels.items():
        numbers = [f"{MODES[mode]} {modes[mode].measured(shown.measure)}" for mode in _MODES if mode in modes]
        told.append(f"{transformation}: {', '.join(numbers)}")
    return f"{title(shown)}. {_capital('; '.join(told))}."


def _panel(axes: Axes, name: str, modes: Mapping[str, Entry], shown: Results) -> None:
    axes.set_title(name, loc="left", fontsize=11.5, fontweight="bold", pad=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y", linewidth=0.7)
    frozen = modes["frozen"].measured(shown.measure) if "frozen" in modes else None
    if frozen is not None:
        axes.axhline(frozen.mean, color=LIGHT["frozen"], linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)
    for place, mode in enumerate(_MODES):
        if mode not in modes:
            continue
        colour = LIGHT[mode]
        if shown.lighter is not None and (light := modes[mode].measured(shown.lighter)) is not None:
            _mark(axes, place + _BESIDE, light, mode, lighter=True)
        summary = modes[mode].measured(shown.measure)
        assert summary is not None
        if frozen is not None and mode != "frozen":
            axes.plot([place, place], [frozen.mean, summary.mean], color=colour, linewidth=5, alpha=0.22, zorder=2,
                      solid_capstyle="butt")  # fmt: skip
        _mark(axes, place, summary, mode)
        axes.annotate(
            f"{summary.mean:.1f}", (place, _ends(summary)[1]), xytext=(0, 6), textcoords="offset points", ha="center",
            va="bottom", fontsize=10.5, fontweight="bold", color=colour,
        )  # fmt: skip
    axes.set_xlim(-0.5, len(_MODES) - 0.5 + (0.05 if shown.lighter else 0))
    axes.set_xticks(range(len(_MODES)), [_under(mode, modes, shown, frozen) for mode in _MODES], fontsize=9.5)


def _under(mode: str, modes: Mapping[str, Entry], shown: Results, frozen: Summary | None) -> str:
    """A mode, and its points above random weights."""
    summary = modes[mode].measured(shown.measure) if mode in modes else None
    if summary is None or frozen is None or mode == "frozen":
        return f"{MODES[mode]}\n"
    return f"{MODES[mode]}\n" + signed(f"{summary.mean - frozen.mean:+z.1f}")


def _mark(axes: Axes, place: float, summary: Summary, mode: str, lighter: bool = False) -> None:
    low, high = _ends(summary)
    colour, size, line = to_rgba(LIGHT[mode], 0.55 if lighter else 1), 4.5 if lighter else 8.0, 1.0 if lighter else 1.8
    if high > low:
        axes.vlines(place, low, high, color=colour, linewidth=line, zorder=3)
        axes.plot([place] * 2, [low, high], "_", color=colour, markersize=1.6 * size, markeredgewidth=line, zorder=3)
    face = "white" if lighter else colour
    axes.plot(place, summary.mean, MARKERS[mode], color=colour, markersize=size, zorder=4, markerfacecolor=face)


def _ends(summary: Summary) -> tuple[float, float]:
    """The 95 % interval of the mean; of a single run itself."""
    if summary.std is None or summary.std == 0:
        return summary.mean, summary.mean
    told = Difference(summary.mean, summary.std / summary.count**0.5, summary.count - 1, summary.count)
    return told.low, told.high


def _limits(shown: Results) -> tuple[float, float]:
    ends = [
        end
        for measure in (shown.measure, shown.lighter)
        for modes in shown.panels.values()
        for entry in modes.values()
        if measure is not None and (summary := entry.measured(measure)) is not None
        for end in _ends(summary)
    ]
    room = max(2.0, 0.1 * (max(ends) - min(ends)))
    return max(0.0, min(ends) - room), min(104.0, max(ends) + 1.3 * room)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
