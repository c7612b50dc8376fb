"""The plots of the benchmark page: roofline, cost of the loss, growth of a step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hssl.extras import extra

with extra("plots"):
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.edgecolor": "#9aa0a6",
    "axes.labelcolor": "#3c4043",
    "xtick.color": "#5f6368",
    "ytick.color": "#5f6368",
    "grid.color": "#e3e5e8",
    "figure.facecolor": "white",
    "savefig.dpi": 160,
}
_COLOURS = {
    "plain": "#b0763b",
    "planned": "#1f5fa8",
    "sampled": "#1f5fa8",
    "all streams": "#5b9bd5",
    "dense": "#b0763b",
}
_MARKERS = {"plain": "s", "planned": "o", "sampled": "o", "all streams": "^", "dense": "s", "tiles": "o"}


def roofline(result: dict[str, Any], path: Path) -> None:
    """Each layer's rate against what it does with a byte, under the machine's measured ceilings.

    The rate counts the multiplications of the dense formulation for both: above the ceiling of a convolution, work was
    saved and not only done faster.
    """
    ceilings, rows = result["ceilings"], result["rows"]
    peak = max(ceilings["convolution_gflops"], ceilings["matrix_gflops"])
    with rc_context(_STYLE):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes: Axes = figure.add_subplot()
        intensity = [1000 * row["dense_gflop"] / row["megabytes"] for row in rows]
        for name in ("plain", "planned"):
            rates = [row["dense_gflop"] / row[f"{name}_seconds"] for row in rows]
            axes.plot(
                intensity, rates, linestyle="none", marker=_MARKERS[name], markersize=4.5, color=_COLOURS[name],
                alpha=0.8, label=f"{name}: one layer, forward and backward",
            )  # fmt: skip
        edges = [min(intensity) / 1.5, max(intensity) * 1.5]
        knee = peak / ceilings["copy_gbytes"]
        line = sorted({edges[0], max(edges[0], knee), edges[1]})
        axes.plot(line, [min(peak, ceilings["copy_gbytes"] * value) for value in line], color="#3c4043", linewidth=1.2)
        axes.annotate(
            f"convolution {ceilings['convolution_gflops']:.0f} GFLOP/s, copy {ceilings['copy_gbytes']:.0f} GB/s",
            (edges[0], peak), xytext=(8, 4), textcoords="offset points", ha="left", va="bottom", color="#3c4043",
        )  # fmt: skip
        axes.set(
            xscale="log", yscale="log", xlim=edges, xlabel="dense FLOP a byte of input, output and their gradients",
            ylabel="dense GFLOP/s",
        )  # fmt: skip
        axes.grid(visible=True, which="major")
        axes.legend(frameon=False, loc="upper left")
        _save(figure, path)


def loss_curve(result: dict[str, Any], path: Path) -> None:
    """Time and memory of the objective against the number of examples."""
    rows = result["rows"]
    with rc_context(_STYLE):
        figure = Figure(figsize=(7, 3), layout="constrained")
        seconds, memory = figure.subplots(1, 2)
        for name in ("tiles", "dense"):
            present = [row for row in rows if f"{name}_seconds" in row]
            examples = [row["examples"] for row in present]
            colour = _COLOURS.get(name, _COLOURS["planned"])
            style: dict[str, Any] = {"marker": _MARKERS[name], "markersize": 4.5, "color": colour, "label": name}
            seconds.plot(examples, [row[f"{name}_seconds"] for row in present], **style)
            memory.plot(examples, [row[f"{name}_megabytes"] for row in present], **style)
        seconds.set(xlabel="examples N", ylabel="seconds, forward and backward")
        memory.set(xlabel="examples N", ylabel="growth of peak memory, MB")
        memory.axhline(1073.7, color="#3c4043", linewidth=0.8, linestyle=":")
        memory.annotate("1 GiB", (rows[0]["examples"], 1073.7), xytext=(0, 2), textcoords="offset points")
        for axes in (seconds, memory):
            axes.set(xscale="log", yscale="log", xticks=[row["examples"] for row in rows])
            axes.set_xticklabels([f"{row['examples']:,}" for row in rows], rotation=30, ha="right")
            axes.minorticks_off()
            axes.grid(visible=True)
        seconds.legend(frameon=False)
        _save(figure, path)


def growth(result: dict[str, Any], path: Path) -> None:
    """Step time and peak memory along each axis."""
    names = {"batch": "batch", "streams": "|G|, scales", "width": "width", "resolution": "resolution, pixels"}
    rows: Sequence[dict[str, Any]] = [row for row in result["rows"] if row["axis"] in names]
    axes_of = list(dict.fromkeys(row["axis"] for row in rows))
    with rc_context(_STYLE):
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        grid = figure.subplots(2, len(axes_of), sharey="row", squeeze=False)
        for column, axis in enumerate(axes_of):
            for formulation in ("plain", "all streams", "sampled"):
                points = [row for row in rows if row["axis"] == axis and row["formulation"] == formulation]
                style: dict[str, Any] = {
                    "marker": _MARKERS[formulation], "markersize": 4.5, "color": _COLOURS[formulation],
                    "label": formulation,
                }  # fmt: skip
                values = [row["value"] for row in points]
                grid[0, column].plot(values, [row["seconds"] for row in points], **style)
                grid[1, column].plot(values, [row["megabytes"] for row in points], **style)
            grid[1, column].set_xlabel(names[axis])
            for row in (0, 1):
                grid[row, column].set(yscale="log")
                grid[row, column].grid(visible=True)
                grid[row, column].set_xticks(sorted({point["value"] for point in rows if point["axis"] == axis}))
        grid[0, 0].set_ylabel("seconds a step")
        grid[1, 0].set_ylabel("peak memory, MB")
        grid[0, 0].legend(frameon=False)
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without a date or version in the file, the same measurements give the same bytes.
    figure.savefig(path, metadata={"Software": None})
