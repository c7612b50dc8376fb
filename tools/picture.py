"""The README's picture of the idea, after figure 1 of the paper: two passes, or one pass that is read twice.

Nothing in it is invented: the digit is real, the maps are a real quarter-turn lifting of it (equation 4, one layer),
and the vectors are its pooled fibers. They agree between the two halves because the theorem holds.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from hssl.errors import ConfigurationError

Array = NDArray[np.float64]

BASE, FIRST, SECOND = 0, 1, 2
"""g0, g1 and g2 in quarter turns: 0°, 90° and 180°."""
CHANNELS = 6

INK, MUTED, LINE = "#1c1e21", "#5d636b", "#c9cdd3"
ORANGE, BLUE = "#d4600a", "#2563c9"
FONT = 12.5
MIDDLE, APART = 24.5, 9.2


@dataclass(frozen=True)
class Idea:
    """The numbers of the picture."""

    image: Array
    """[10, 10], a digit with values in 0 .. 1."""
    filters: Array
    """[C, 3, 3], the filter of each channel."""

    def features(self, image: Array) -> Array:
        """z [C, 4, 10, 10]: the image correlated with each filter in its four rotations, rectified."""
        maps = [[_correlate(image, np.rot90(filt, turn)) for turn in range(4)] for filt in self.filters]
        rectified: Array = np.maximum(np.array(maps), 0)
        return rectified

    def fiber(self, image: Array, element: int) -> Array:
        """z(g) [C], pooled over space, of an image at one rotation."""
        pooled: Array = self.features(image)[:, element % 4].mean(axis=(-2, -1))
        return pooled


def idea(digit: int = 7) -> Idea:
    """The first digit of its kind in scikit-learn's set, with fixed random filters."""
    digits = load_digits()
    image = digits.images[int(np.flatnonzero(digits.target == digit)[0])] / 16.0
    filters = np.random.default_rng(11).normal(size=(CHANNELS, 3, 3))
    # A white margin, so that no turn cuts the digit off at the frame.
    return Idea(np.pad(image, 1), filters - filters.mean(axis=(1, 2), keepdims=True))


def turned(image: Array, element: int) -> Array:
    """T_g x: the image turned counter-clockwise by g quarter turns."""
    rotated: Array = np.rot90(image, element)
    return rotated


def draw_idea(out: Path) -> Path:
    """Draws the picture into a .png (twice the density of an ordinary screen) or .svg file.

    Raises:
        ConfigurationError: another suffix.
    """
    if out.suffix not in (".png", ".svg"):
        raise ConfigurationError("the picture cannot be written in this format", got=out.name, expected=".png or .svg")
    style: Any = {"font.family": "DejaVu Sans", "font.size": FONT, "mathtext.fontset": "cm", "svg.hashsalt": "hssl"}
    with rc_context(style):
        figure = Figure(figsize=(11, 4.9))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, 110)
        axes.set_ylim(0, 49)
        axes.set_aspect("equal")
        axes.axis("off")
        # A ground of its own: the page behind may be light or dark.
        ground = "round,pad=0,rounding_size=2.2"
        axes.add_patch(FancyBboxPatch((0.6, 0.6), 108.8, 47.8, boxstyle=ground, facecolor="white", edgecolor=LINE))
        axes.plot([58.6, 58.6], [8.6, 40.5], color=LINE, linewidth=1)
        subject = idea()
        _augmentation_based(axes, subject)
        _homomorphic(axes, subject)
        told = r"$f$ equivariant:   $z_1(g_0) = z(g_1^{-1}\! \cdot g_0)$   and   $z_2(g_0) = z(g_2^{-1}\! \cdot g_0)$"
        axes.text(55, 4.0, told + "   —   the same vectors, the same loss", ha="center", va="center", color=INK)
        out.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        metadata: Any = {"Software": None} if out.suffix == ".png" else {"Date": None}
        figure.savefig(buffer, format=out.suffix[1:], dpi=200, transparent=True, metadata=metadata)
        out.write_bytes(buffer.getvalue())
    return out


def _augmentation_based(axes: Axes, subject: Idea) -> None:
    _heading(axes, 4.6, "A-SSL", "two transformed copies, two passes")
    _picture(axes, subject.image, 8.2, MIDDLE, INK)
    _label(axes, 8.2, MIDDLE - 5.7, r"$x$")
    for side, turn, colour, name in ((1, FIRST, ORANGE, "1"), (-1, SECOND, BLUE, "2")):
        level = MIDDLE + side * APART
        image = turned(subject.image, turn)
        _arrow(axes, (12.6, MIDDLE + side * 1.6), (16.0, level - side * 1.4), MUTED)
        _picture(axes, image, 20.4, level, colour)
        _label(axes, 19.6, level - 5.9, rf"$T_{{g_{name}}}[x]$", colour)
        axes.text(24.6, level - 6.0, f"{90 * turn}°", color=colour, ha="center", va="center", fontsize=FONT - 3)
        _pass(axes, 24.8, level, 33.6)
        _stack(axes, subject.features(image)[0], 39.0, level, {BASE: colour}, names={BASE: r"$g_0 = 0^\circ$"})
        _arrow(axes, (44.0, level), (47.6, level), colour)
        _vector(axes, subject.fiber(image, BASE), 49.2, level, colour)
        _label(axes, 49.2, level + side * 6.2, rf"$z_{name}(g_0)$", colour)
        _arrow(axes, (50.8, level - side * 1.2), (53.6, MIDDLE + side * 2.5), MUTED)
    _loss(axes, 54.6, MIDDLE)


def _homomorphic(axes: Axes, subject: Idea) -> None:
    _heading(axes, 62.4, "H-SSL", "one image, one pass, two readings")
    _picture(axes, subject.image, 66.0, MIDDLE, INK)
    _label(axes, 66.0, MIDDLE - 5.7, r"$x$")
    _pass(axes, 70.4, MIDDLE, 79.2)
    first, second = (BASE - FIRST) % 4, (BASE - SECOND) % 4
    degrees = {turn: f"{90 * turn}°" for turn in range(4)}
    maps = subject.features(subject.image)[0]
    _stack(axes, maps, 87.4, MIDDLE, {first: ORANGE, second: BLUE}, scale=1.15, names=degrees)
    for side, element, colour, name in ((1, first, ORANGE, "1"), (-1, second, BLUE, "2")):
        level = MIDDLE + side * APART
        _arrow(axes, (93.4, MIDDLE + (6.2 if side > 0 else 2.0)), (97.6, level - side * 1.0), colour)
        _vector(axes, subject.fiber(subject.image, element), 99.4, level, colour)
        _label(axes, 99.4, level + side * 6.2, rf"$z(g_{name}^{{-1}}\! \cdot g_0)$", colour)
        _arrow(axes, (101.0, level - side * 1.2), (103.8, MIDDLE + side * 2.5), MUTED)
    _loss(axes, 104.8, MIDDLE)


def _heading(axes: Axes, x: float, name: str, told: str) -> None:
    axes.text(x, 43.4, name, fontsize=FONT + 4, fontweight="bold", color=INK, va="baseline")
    axes.text(x + 9.4, 43.4, told, fontsize=FONT - 0.5, color=MUTED, va="baseline")


def _label(axes: Axes, x: float, y: float, text: str, colour: str = INK) -> None:
    axes.text(x, y, text, color=colour, ha="center", va="center", fontsize=FONT + 1.5)


def _picture(axes: Axes, image: Array, x: float, y: float, colour: str) -> None:
    half = 3.6
    place = (x - half, x + half, y - half, y + half)
    axes.imshow(1 - image, cmap="gray", vmin=0, vmax=1, extent=place, interpolation="nearest", zorder=2)
    axes.add_patch(Rectangle((x - half, y - half), 2 * half, 2 * half, fill=False, edgecolor=colour, lw=1.8, zorder=3))


def _pass(axes: Axes, start: float, y: float, end: float) -> None:
    """One pass through f: a funnel on the way."""
    left, width = (start + end) / 2 - 2.1, 3.6
    axes.plot([start, left], [y, y], color=MUTED, linewidth=1.4, solid_capstyle="butt")
    corners = [(left, y + 2.9), (left, y - 2.9), (left + width, y - 1.9), (left + width, y + 1.9)]
    axes.add_patch(Polygon(corners, facecolor="#eef0f3", edgecolor=MUTED, linewidth=1.2, joinstyle="round"))
    _label(axes, left + width / 2, y, r"$f$")
    _arrow(axes, (left + width, y), (end, y), MUTED)


def _stack(
    axes: Axes, maps: Array, x: float, y: float, marked: dict[int, str], names: dict[int, str], scale: float = 1.0
) -> None:
    """The four slices of the group axis, one above the other in perspective; those that are read stand out."""
    width, depth, shear, gap = 6.6 * scale, 2.9 * scale, 2.0 * scale, 3.6 * scale
    for turn in range(4):
        bottom = y + (turn - 1.5) * gap - depth / 2
        corner = x - (width + shear) / 2
        place = Affine2D.from_values(width, 0, shear, depth, corner, bottom)
        outline = place.transform([(0, 0), (1, 0), (1, 1), (0, 1)])
        colour = marked.get(turn)
        palette = LinearSegmentedColormap.from_list("slice", ["white", colour or "#8d939b"])
        drawn = axes.imshow(
            maps[turn], cmap=palette, vmin=0, vmax=0.8 * maps.max(), extent=(0, 1, 0, 1), interpolation="nearest",
            transform=place + axes.transData, zorder=2,
        )  # fmt: skip
        drawn.set_clip_path(Polygon(outline, transform=axes.transData))
        edge = Polygon(
            outline, fill=False, edgecolor=colour or LINE, lw=2.0 if colour else 1.0, zorder=3, joinstyle="round"
        )
        axes.add_patch(edge)
        if turn in names:
            middle = corner + shear / 2 - (1.2 if colour else 0.9), bottom + depth / 2
            size = FONT + 0.5 if names[turn].startswith("$") else FONT - 3
            axes.text(*middle, names[turn], ha="right", va="center", fontsize=size, color=colour or MUTED)


def _vector(axes: Axes, values: Array, x: float, y: float, colour: str) -> None:
    """A fiber: one cell a channel, darker where larger."""
    side = 1.5
    bottom = y - side * len(values) / 2
    shades = (values - values.min()) / (values.max() - values.min())
    for number, shade in enumerate(shades[::-1]):
        place = (x - side / 2, bottom + number * side)
        axes.add_patch(Rectangle(place, side, side, facecolor=colour, alpha=0.04 + 0.86 * float(shade), linewidth=0))
    frame = (x - side / 2, bottom)
    axes.add_patch(Rectangle(frame, side, side * len(values), fill=False, edgecolor=colour, linewidth=1.6))


def _loss(axes: Axes, x: float, y: float) -> None:
    axes.add_patch(Circle((x, y), 2.2, facecolor="white", edgecolor=INK, linewidth=1.6, zorder=4))
    axes.text(x, y - 0.1, r"$\mathcal{L}$", ha="center", va="center", fontsize=FONT + 3, color=INK, zorder=5)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=colour, linewidth=1.4, shrinkA=0, shrinkB=0
        )
    )


def _correlate(image: Array, filt: Array) -> Array:
    """Correlation with a 3 x 3 filter, zero-padded to the same size."""
    padded = np.pad(image, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    values: Array = np.einsum("hwij,ij->hw", windows, filt)
    return values


if __name__ == "__main__":
    print(draw_idea(Path("docs/idea.png")))
