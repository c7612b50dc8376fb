"""What can be chosen of each network f (appendix B). Imports no torch."""

from typing import ClassVar, Literal

from pydantic import Field

from hssl.settings import PartSettings


class BackboneSettings(PartSettings):
    """What every network can be asked."""

    slices: ClassVar[int | None] = None
    """How many slices a network without structure is read in; None for one with structure."""

    width: float = Field(default=1.0, gt=0, le=4, description="factor on every channel count")

    @property
    def separates_streams(self) -> bool:
        """Whether the streams of a group can be computed one without the other."""
        return False


class SteerableSettings(BackboneSettings):
    """Networks of lifting and group convolutions."""

    basis: Literal["sesn", "untruncated"] = Field(
        default="sesn", description="scales; sesn: the paper's fixed grid; untruncated: the kernel grows with the scale"
    )
    full_extent: bool = Field(default=False, description="rotations: convolve over the whole cyclic group axis (p4)")
    plan: Literal["auto", "measured", "plain", "direct", "cropped", "separable", "fourier"] = Field(
        default="auto", description="how steerable layers are computed; all give the same numbers but for rounding"
    )

    @property
    def separates_streams(self) -> bool:
        return not self.full_extent


class ThreeLayerSettings(SteerableSettings):
    """The three-layer network of MNIST."""

    name: str = "three-layer"


class CIFAR10ResNet20Settings(SteerableSettings):
    """The residual network of CIFAR-10."""

    name: str = "resnet20-cifar10"


class TinyImageNetResNet20Settings(SteerableSettings):
    """The residual network of Tiny ImageNet."""

    name: str = "resnet20-tiny-imagenet"


class MLPSettings(BackboneSettings):
    """The fully connected control of table 2."""

    slices: ClassVar[int | None] = 16
    name: str = "mlp"


class PlainSettings(BackboneSettings):
    """The convolutional controls of table 2."""

    slices: ClassVar[int | None] = 6
    reading: Literal["grouped", "shared-trunk"] = Field(
        default="grouped",
        description="streams apart from the first layer on, as in the steerable networks, or from the last one",
    )


class PlainThreeLayerSettings(PlainSettings):
    """The three-layer network with unconstrained kernels."""

    name: str = "cnn-three-layer"


class PlainResNet20Settings(PlainSettings):
    """The residual network of CIFAR-10 with unconstrained kernels."""

    name: str = "cnn-resnet20"


class WrapSettings(BackboneSettings):
    """Your own network, read as group features."""

    name: str = "wrap"
    network: str = Field(
        default="", description="import path of a function: channels of the images -> torch module, maps [B, C, H, W]"
    )
