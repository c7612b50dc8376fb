"""How strong the image transformations of A-SSL are (appendix B, 'Empirical Validation')."""

from dataclasses import dataclass
from typing import Literal

from hssl.errors import GroupError


@dataclass(frozen=True)
class Augmentation:
    """Ranges that image transformations are drawn from.

    Attributes:
        translation_strength: largest shift as a share of the image's height and width; the paper's +-20 %.
        smallest_scale: strongest downscaling; the paper draws from 0.57 to 1.
        scale_draw: `continuous` draws a factor from the range, `discrete` one of the network's own ratios s_0 / s_i.
    """

    translation_strength: float = 0.2
    smallest_scale: float = 0.57
    scale_draw: Literal["continuous", "discrete"] = "continuous"

    def __post_init__(self) -> None:
        if not 0 <= self.translation_strength < 1:
            raise GroupError(
                "the largest shift is a share of the image's size",
                got=f"translation_strength {self.translation_strength}",
                expected="0 <= translation_strength < 1",
            )
        if not 0 < self.smallest_scale <= 1:
            raise GroupError(
                "the strongest downscaling is a factor",
                got=f"smallest_scale {self.smallest_scale}",
                expected="0 < smallest_scale <= 1",
            )
        if self.scale_draw not in ("continuous", "discrete"):
            raise GroupError(
                "there is no such way to draw scales", got=self.scale_draw, expected="'continuous' or 'discrete'"
            )
