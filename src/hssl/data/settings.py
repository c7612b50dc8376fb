"""Where the images come from and how they enter the store. Imports no torch."""

from typing import Literal

from pydantic import Field

from hssl.settings import PartSettings


class DataSettings(PartSettings):
    """Where the images come from and how they enter the store."""

    name: str = Field(default="digits", description="digits, mnist, cifar10, tiny-imagenet, folder, or hub:OWNER/NAME")
    root: str | None = Field(
        default=None,
        description="folder with the data; none: embedded (digits), a sub-folder of HSSL_DATA, or fetched from the hub",
    )
    resolution: int = Field(default=29, ge=8, le=1024, description="height and width in pixels that the network sees")
    fit: Literal["pad", "resize"] = Field(default="pad", description="how an image gets to the resolution")
    resize_to: int | None = Field(default=None, ge=4, le=1024, description="resize to this many pixels before padding")
    normalize: Literal["unit", "standardize"] = Field(
        default="unit", description="unit: x/255, black stays 0; standardize: zero mean and unit variance by channel"
    )
    train_images: int | None = Field(
        default=None, ge=2, description="use only this many training images, a fixed choice, the same for every seed"
    )
    test_images: int | None = Field(
        default=None, ge=2, description="use only this many test images, a fixed choice, the same for every seed"
    )
    test_fraction: float = Field(default=0.1, gt=0, lt=1, description="share held out where a source has no test split")
    validation_images: int | None = Field(
        default=None,
        ge=1,
        description="measure on this many images held out of the training set, the same for every seed, instead of on "
        "the test images: for choosing settings",
    )
    strict: bool = Field(
        default=False, description="refuse a folder with an unreadable image instead of leaving the image out"
    )
    grey: bool | None = Field(
        default=None, description="force one (true) or three (false) channels; none: as the images are"
    )
    store: Literal["auto", "memory", "mapped"] = Field(
        default="auto",
        description="mapped: decoded to a file in HSSL_CACHE (~/.cache/hssl) and read batch by batch; auto: memory, "
        "unless the images would take more than half of what is left",
    )
