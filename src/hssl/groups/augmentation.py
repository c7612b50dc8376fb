"""How strong the image transformations of A-SSL are (appendix B, 'Empirical Validation')."""

from dataclasses import dataclass
from typing import Literal


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
