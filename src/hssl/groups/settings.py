"""What can be chosen of each group. Imports no torch."""

from typing import Annotated, ClassVar

from pydantic import Field

from hssl.settings import PartSettings

PAPER_SCALES = (1.0, 1.25, 1.33, 1.5, 1.66, 1.75)


class GroupSettings(PartSettings):
    """The group of the network and of the views."""

    has_streams: ClassVar[bool] = True
    """Whether layers carry one axis of elements beside the positions, of which some can be computed alone."""


class TranslationsSettings(GroupSettings):
    """Shifts: the positions of an ordinary convolutional network."""

    has_streams: ClassVar[bool] = False
    name: str = "translations"
    circular: bool = Field(default=False, description="circular padding, exact for shifts by the total stride")


class RotationsSettings(GroupSettings):
    """Quarter turns, C4."""

    name: str = "rotations"


class DihedralSettings(GroupSettings):
    """Quarter turns and mirror images, D4."""

    name: str = "dihedral"


class ScalesSettings(GroupSettings):
    """Magnifications by a list of factors."""

    name: str = "scales"
    factors: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=PAPER_SCALES, min_length=1, description="increasing scale factors"
    )


class ProductSettings(GroupSettings):
    """Two groups of the filters at once."""

    has_streams: ClassVar[bool] = False
    name: str = "product"
    first: str = Field(default="rotations", description="a group by its name: rotations, dihedral, scales, my:Group")
    second: str = Field(default="scales", description="another one; at most one of the two holds quarter turns")
