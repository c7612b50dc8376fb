"""One's own data source: a class that gives arrays of images, named by its import path."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hssl.data.settings import DataSettings
from hssl.data.split import ArrayPixels, Source, Split
from hssl.errors import DataError


@dataclass(frozen=True)
class Images:
    """The images of one split.

    Attributes:
        pixels: uint8 [N, H, W], grey, or [N, H, W, 3].
        labels: [N], integers or strings; None without.
        class_names: what integers stand for; None where they stand for themselves.
    """

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[Any] | Sequence[int] | Sequence[str] | None = None
    class_names: Sequence[str] | None = None


class DataSource(ABC):
    """Where images come from: `--data.name my_module:MySource`.

    What happens afterwards - choice of images, resolution, normalisation, a held-out share where there is no test
    split - is the configuration's, as for every other source.
    """

    Settings: ClassVar[type[DataSettings]] = DataSettings

    def __init__(self, settings: DataSettings) -> None:
        self.settings = settings

    @abstractmethod
    def train(self) -> Images:
        """The images to train on."""

    def test(self) -> Images | None:
        """The images to measure on; None: a share of the training images is held out (`data.test_fraction`)."""
        return None

    def open(self) -> Source:
        """Both splits as a source.

        Raises:
            DataError: arrays of another type or shape, or other numbers of images and labels.
        """
        name = type(self).__name__
        test = self.test()
        return Source(
            description=f"{name} of {type(self).__module__}",
            train=_split(name, "train", self.train()),
            held_out=() if test is None else (_split(name, "test", test),),
        )


def _split(source: str, name: str, images: Images) -> Split:
    if not isinstance(images, Images):
        raise DataError(f"{source}.{name}() gives no images", got=type(images).__name__, expected="hssl.data.Images")
    pixels = np.asarray(images.pixels)
    grey, colour = pixels.ndim == 3, pixels.ndim == 4 and pixels.shape[-1] == 3
    if pixels.dtype != np.uint8 or not (grey or colour) or 0 in pixels.shape:
        raise DataError(
            f"the pixels of {source}.{name}() are no images",
            got=f"{pixels.dtype} {list(pixels.shape)}",
            expected="uint8 [N, height, width], or [N, height, width, 3]",
        )
    labels = None if images.labels is None else np.asarray(images.labels)
    if labels is not None and labels.shape != (len(pixels),):
        raise DataError(
            f"{source}.{name}() gives other numbers of images and labels",
            got=f"{len(pixels)} images, labels {list(labels.shape)}",
        )
    names = None if images.class_names is None else tuple(images.class_names)
    return Split(name, ArrayPixels(pixels), labels, names)
