"""What can be chosen of each kind of views: g0, g1 and g2 (section 3 and appendix B). Imports no torch."""

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from hssl.settings import PartSettings


class ViewsSettings(PartSettings):
    """Where features are read, for every kind of views."""

    label: ClassVar[str | None] = None
    """What training on such pairs is called."""

    base_size: tuple[int, ...] | int = Field(
        default=1, description="|g0|: elements along the group axis, or (rows, columns) for translations"
    )
    joint: bool = Field(
        default=False, description="no spatial pooling: g0 lives on the joint group (e.g. rotation x position)"
    )

    @field_validator("base_size")
    @classmethod
    def _positive(cls, value: tuple[int, ...] | int) -> tuple[int, ...] | int:
        sizes = (value,) if isinstance(value, int) else value
        if not sizes or min(sizes) < 1:
            raise ValueError("every extent of g0 is at least 1")
        return value

    def without_effect(self, group: str) -> set[str]:
        """The fields that are never read beside the group of that name."""
        return set()


class SampledSettings(ViewsSettings):
    """Views that can tell which streams they read."""

    streams: Literal["all", "sampled"] = Field(
        default="all",
        description="sampled: compute only the rotations or scales that a pair reads, three to six times less work; "
        "all: the paper's own computation",
    )


class FiberViewsSettings(SampledSettings):
    """H-SSL: two places of one feature map."""

    label: ClassVar[str | None] = "h-ssl"
    name: str = "fibers"
    max_distance: float | None = Field(
        default=None, ge=0, description="largest distance between g1 and g2 (figure 2, right)"
    )
    distance: Literal["euclidean", "topological"] = Field(
        default="euclidean", description="how max_distance is measured; euclidean is the paper's"
    )

    def without_effect(self, group: str) -> set[str]:
        return super().without_effect(group) | ({"distance"} if self.max_distance is None else set())


class InputViewsSettings(SampledSettings):
    """A-SSL: two transformed images."""

    label: ClassVar[str | None] = "a-ssl"
    name: str = "inputs"
    translation_strength: float = Field(
        default=0.2, ge=0, lt=1, description="translations: largest shift, share of height and width"
    )
    smallest_scale: float = Field(default=0.57, gt=0, le=1, description="scales: strongest downscaling")
    scale_draw: Literal["continuous", "discrete"] = Field(
        default="continuous", description="scales: any downscaling, or only the inverse scale factors of the group"
    )

    def without_effect(self, group: str) -> set[str]:
        idle = set() if group == "translations" else {"translation_strength"}
        return super().without_effect(group) | (idle if group == "scales" else idle | {"smallest_scale", "scale_draw"})


class HybridViewsSettings(FiberViewsSettings, InputViewsSettings):
    """Transformed images, each read at a place of its own."""

    label: ClassVar[str | None] = "hybrid"
    name: str = "hybrid"
