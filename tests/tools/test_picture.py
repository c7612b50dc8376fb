"""The picture shows true numbers: the vectors of its two halves agree because the maps are equivariant."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hssl.errors import ConfigurationError
from tools.picture import BASE, FIRST, SECOND, draw_idea, idea, turned


@pytest.mark.parametrize("element", [FIRST, SECOND, 3])
def test_the_vectors_of_both_halves_are_equal(element: int) -> None:
    subject = idea()
    augmented = subject.fiber(turned(subject.image, element), BASE)
    read_off = subject.fiber(subject.image, BASE - element)
    np.testing.assert_allclose(augmented, read_off, atol=1e-12)
    # The other way round, g in place of its inverse, is wrong wherever the two differ.
    if element != SECOND:
        assert not np.allclose(augmented, subject.fiber(subject.image, BASE + element), atol=1e-3)
    assert not np.allclose(augmented, subject.fiber(subject.image, BASE), atol=1e-3)


def test_whole_maps_turn_with_the_image() -> None:
    subject = idea()
    maps = subject.features(subject.image)
    moved = subject.features(turned(subject.image, FIRST))
    for element in range(4):
        expected = np.rot90(maps[:, (element - FIRST) % 4], FIRST, axes=(-2, -1))
        np.testing.assert_allclose(moved[:, element], expected, atol=1e-12)


def test_the_picture_has_a_ground_of_its_own(tmp_path: Path) -> None:
    picture = Image.open(draw_idea(tmp_path / "idea.png")).convert("RGBA")
    assert picture.width == 2200
    assert picture.getpixel((0, 0))[3] == 0  # outside the rounded corner: the page
    assert picture.getpixel((60, 60)) == (255, 255, 255, 255)
    colours = {colour for _, colour in picture.getcolors(maxcolors=1 << 24)}
    assert {(212, 96, 10, 255), (37, 99, 201, 255)} <= colours


def test_it_can_be_drawn_as_svg_and_not_as_anything_else(tmp_path: Path) -> None:
    assert draw_idea(tmp_path / "deep" / "idea.svg").read_text().rstrip().endswith("</svg>")
    with pytest.raises(ConfigurationError, match=r"idea\.bmp"):
        draw_idea(tmp_path / "idea.bmp")
