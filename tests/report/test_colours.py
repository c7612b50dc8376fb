"""The colours of the page: text can be read, and modes can be told apart by people with any colour blindness."""

from itertools import combinations

import numpy as np
import pytest

from hssl.analysis.summaries import MODES
from hssl.report.colours import DARK, LIGHT, PRINT
from hssl.report.document import Document
from hssl.report.html import page

SCHEMES = {"light": LIGHT, "dark": DARK, "print": PRINT}
TEXT, GRAPHICS, APART = 4.5, 3.0, 8.0
"""Contrasts of WCAG 2.2 (1.4.3, 1.4.11) and the least distance of two colours in OKLab, in hundredths."""

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
SIGHT = {
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# Ottosson 2020.
LMS = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
       [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
LAB = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
       [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip


def linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def closest(colours: dict[str, str], sight: str) -> float:
    seen = {mode: LAB @ np.cbrt(LMS @ np.clip(SIGHT[sight] @ linear(colours[mode]), 0, 1)) for mode in MODES}
    return min(100 * float(np.linalg.norm(seen[one] - seen[other])) for one, other in combinations(MODES, 2))


@pytest.mark.parametrize("name", SCHEMES)
def test_text_stands_out_from_every_surface(name: str) -> None:
    colours = SCHEMES[name]
    for surface in ("page", "card", "note"):
        for text in ("ink", "muted", "accent"):
            assert contrast(colours[text], colours[surface]) >= TEXT, (text, surface)
    assert min(contrast(colours[mode], colours["card"]) for mode in (*MODES, "paper")) >= GRAPHICS


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("name", SCHEMES)
def test_modes_are_told_apart(name: str, sight: str) -> None:
    assert closest(SCHEMES[name], sight) >= APART


def test_colours_that_are_alike_are_found_out() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#999999", "#ffffff") < GRAPHICS
    blue_and_purple = LIGHT | {"a-ssl": "#2563c9", "hybrid": "#8a4fc7"}
    assert closest(blue_and_purple, "full") >= APART
    assert closest(blue_and_purple, "protanopia") < APART


def test_every_scheme_gives_every_colour() -> None:
    assert LIGHT.keys() == DARK.keys() == PRINT.keys()
    text = page(Document("Title", "lead", ()))
    for role in LIGHT:
        assert text.count(f"--{role}: #") == len(SCHEMES)
