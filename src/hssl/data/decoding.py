"""From encoded images of any size and mode to square uint8 tensors of one resolution, each image decoded once."""

import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate, pad

from hssl.data.settings import DataSettings
from hssl.data.split import ArrayPixels, EncodedPixels, Indices, Split, first_line
from hssl.data.store import images_at_once
from hssl.errors import ConfigurationError, DataError
from hssl.shapes import StoredImages

# Bilinear: its kernel has no negative lobe, so that a black background stays exactly black next to a stroke, which zero
# padding and zero fill rely on. Pillow widens the kernel when it reduces: that is the anti-aliasing.
_FILTER = Image.Resampling.BILINEAR

_CHUNK = 1024
_ORIENTATION_TAG = 0x0112
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


Room: TypeAlias = Callable[[tuple[int, int, int, int]], StoredImages]


class Decoded(NamedTuple):
    """Images of a split, and which of the asked ones they are.

    Attributes:
        images: uint8 [M, C, R, R], C = 1 when every image is stored as grey (or was made so), else 3.
        kept: bool [N], which of the N asked images could be read.
        left_out: 'name (reason)' of each of the others.
    """

    images: StoredImages
    kept: npt.NDArray[np.bool_]
    left_out: tuple[str, ...]


class Piece(NamedTuple):
    """A few images on their way: uint8 [n, 1 or 3, R, R], and why which others cannot be read, by their index."""

    images: StoredImages
    unreadable: dict[int, str]


def in_memory(shape: tuple[int, int, int, int]) -> StoredImages:
    """Memory for images.

    Raises:
        DataError: there is too little.
    """
    try:
        return torch.empty(shape, dtype=torch.uint8)
    except RuntimeError as error:
        raise DataError(
            "the decoded images do not fit into memory",
            got=f"{shape[0]:,} images of {' x '.join(map(str, shape[1:]))}, {math.prod(shape) / 1e9:.1f} GB",
            hint="--data.store mapped keeps them in a file",
        ) from error


def decode(split: Split, indices: Indices, config: DataSettings, room: Room = in_memory) -> Decoded:
    """The images of `split` at ascending `indices`, at the configured resolution.

    Args:
        room: gives the memory for images of a shape. Asked a second time, it may give the same memory, enlarged.

    Raises:
        ConfigurationError: sizes that contradict each other.
        DataError: an image that is larger than the resolution when it should be padded; an unreadable image when
            `config.strict`.
    """
    check_sizes(config)
    images = room((len(indices), 3 if config.grey is False else 1, config.resolution, config.resolution))
    count = 0
    unreadable: dict[int, str] = {}
    for piece in decode_pieces(split, indices, config):
        if piece.images.shape[1] > images.shape[1]:
            grey, images = images, room((len(indices), *piece.images.shape[1:]))
            _widen(grey[:count], images)
        images[count : count + len(piece.images)] = piece.images
        count += len(piece.images)
        unreadable |= piece.unreadable
    return Decoded(images[:count], np.isin(indices, list(unreadable), invert=True), tuple(unreadable.values()))


def _widen(grey: StoredImages, images: StoredImages) -> None:
    """Repeats the one channel of the first images, from the last one to the first: both may lie in the same memory."""
    step = images_at_once(*images.shape[1:])
    for end in range(len(grey), 0, -step):
        begin = max(0, end - step)
        images[begin:end] = grey[begin:end].clone()


def check_sizes(config: DataSettings) -> None:
    """Raises ConfigurationError where `resize_to` and `resolution` contradict each other."""
    if config.fit == "pad" and config.resize_to is not None and config.resize_to > config.resolution:
        raise ConfigurationError(
            "images cannot be padded to a resolution below the size they are resized to",
            got=f"data.resize_to {config.resize_to}, data.resolution {config.resolution}, data.fit pad",
            hint="lower --data.resize_to, raise --data.resolution, or --data.fit resize",
        )


def decode_pieces(split: Split, indices: Indices, config: DataSettings) -> Iterator[Piece]:
    """`decode`, a few images at a time: never more than some megabytes of them."""
    step = min(_CHUNK, images_at_once(3, config.resolution, config.resolution))
    if isinstance(split.pixels, ArrayPixels):
        return _decode_arrays(split.pixels.array, indices, config, step)
    return _decode_files(split.pixels, indices, config, step)


def _decode_arrays(array: npt.NDArray[np.uint8], indices: Indices, config: DataSettings, step: int) -> Iterator[Piece]:
    for start in range(0, len(indices), step):
        chosen = array[indices[start : start + step]]
        if array.ndim == 4:
            yield Piece(_stacked([_fit_colour(pixels, config) for pixels in chosen]), {})
        else:
            images = fit_tensor(torch.from_numpy(chosen)[:, None], config)
            yield Piece(images.expand(-1, 3 if config.grey is False else 1, -1, -1), {})


def _fit_colour(pixels: npt.NDArray[np.uint8], config: DataSettings) -> npt.NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    return fit_image(image.convert("L") if config.grey else image, config, "an array")


def _decode_files(pixels: EncodedPixels, indices: Indices, config: DataSettings, step: int) -> Iterator[Piece]:
    arrays: list[npt.NDArray[np.uint8]] = []
    unreadable: dict[int, str] = {}

    # One thread on purpose: with a pool of two, CIFAR-10 took twice as long; only larger JPEGs gained, at most a fifth.
    for index, encoded in zip(indices.tolist(), pixels.read(indices), strict=True):
        try:
            image = open_image(encoded.content, config)
        # Decoders raise nearly anything on broken files: OSError, SyntaxError, ValueError, struct.error, zlib.error.
        except Exception as error:
            reason = "not an image" if isinstance(error, UnidentifiedImageError) else first_line(error)
            unreadable[index] = f"{encoded.name} ({reason})"
            if config.strict:
                raise DataError(
                    "an image cannot be read",
                    got=unreadable[index],
                    hint="mend or remove it, or --data.strict false to leave such images out",
                ) from error
            continue
        arrays.append(fit_image(image, config, encoded.name))
        if len(arrays) == step:
            yield Piece(_stacked(arrays), unreadable)
            arrays, unreadable = [], {}
    if arrays:
        yield Piece(_stacked(arrays), unreadable)
    elif unreadable:
        yield Piece(torch.empty(0, 1, config.resolution, config.resolution, dtype=torch.uint8), unreadable)


def _stacked(arrays: list[npt.NDArray[np.uint8]]) -> StoredImages:
    """Arrays [1 or 3, R, R] as one tensor, all with three channels if one of them has three."""
    channels = max(len(array) for array in arrays)
    return torch.from_numpy(np.stack([np.broadcast_to(array, (channels, *array.shape[1:])) for array in arrays]))


def open_image(content: bytes | Path | None, config: DataSettings) -> Image.Image:
    """An upright image of mode 'L' or 'RGB'.

    Transparent pixels are laid over black, the colour of padding; 16-bit pixels are scaled to 8; of several frames the
    first is taken. `config.grey` forces the mode (grey is the luma of ITU-R 601).
    """
    if content is None:
        raise ValueError("no content")
    with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as file:
        target = config.resize_to or (config.resolution if config.fit == "resize" else None)
        if target is not None:
            # JPEG can decode at a half, quarter or eighth: never below twice the target, so the resize still decides.
            file.draft(None, (2 * target, 2 * target))
        file.load()
        image = _eight_bits(file)
        turn = _TO_UPRIGHT.get(_orientation(file))
    if turn is not None:
        image = image.transpose(turn)
    if config.grey is not None:
        image = image.convert("L" if config.grey else "RGB")
    return image


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_ORIENTATION_TAG)
    # A broken EXIF block does not make the pixels unreadable.
    except Exception:
        return None


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        return image.copy()
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        if wide.min() < 0 or wide.max() > 65535:
            raise ValueError("pixels outside 0 to 65535")
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range")
    grey = image.mode in ("L", "LA", "La")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        clear = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        colour = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), clear).convert("RGB")
    else:
        colour = image.convert("RGB")
    if image.mode in ("P", "PA"):
        values = np.asarray(colour)
        grey = bool((values == values[..., :1]).all())
    return colour.convert("L") if grey else colour


def fit_image(image: Image.Image, config: DataSettings, name: str) -> npt.NDArray[np.uint8]:
    """One 'L' or 'RGB' image as uint8 [C, R, R]: `resize_to`, then padded or resized to the resolution.

    Raises:
        DataError: larger than the resolution with fit 'pad'.
    """
    if config.resize_to is not None:
        image = _square(image, config.resize_to)
    if config.fit == "resize":
        image = _square(image, config.resolution)
    array = np.asarray(image)
    array = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    height, width = array.shape[1:]
    if (height, width) == (config.resolution, config.resolution):
        return array
    top, left, bottom, right = _margins(height, width, config.resolution, name)
    return np.pad(array, ((0, 0), (top, bottom), (left, right)))


def fit_tensor(images: Tensor, config: DataSettings) -> StoredImages:
    """`fit_image` for uint8 [N, C, H, W] at once: [N, C, R, R], equal to within one grey level."""
    if config.resize_to is not None:
        images = _square_tensor(images, config.resize_to)
    if config.fit == "resize":
        images = _square_tensor(images, config.resolution)
    top, left, bottom, right = _margins(images.shape[2], images.shape[3], config.resolution, None)
    return pad(images, (left, right, top, bottom))


def _margins(height: int, width: int, resolution: int, name: str | None) -> tuple[int, int, int, int]:
    """Top, left, bottom, right. Top and left get the smaller half."""
    if max(height, width) > resolution:
        raise DataError(
            "an image is larger than the resolution it should be padded to",
            got=f"{height} x {width} pixels" + (f" in {name}" if name else ""),
            expected=f"at most {resolution} x {resolution} with data.fit pad",
            hint=f"--data.fit resize, --data.resize_to {resolution}, or --data.resolution {max(height, width)}",
        )
    top, left = (resolution - height) // 2, (resolution - width) // 2
    return top, left, resolution - height - top, resolution - width - left


def _scaled(height: int, width: int, target: int) -> tuple[int, int]:
    shorter = min(height, width)
    return max(target, round(height * target / shorter)), max(target, round(width * target / shorter))


def _square(image: Image.Image, target: int) -> Image.Image:
    height, width = _scaled(image.height, image.width, target)
    if (width, height) != image.size:
        image = image.resize((width, height), _FILTER)
    top, left = (height - target) // 2, (width - target) // 2
    return image.crop((left, top, left + target, top + target)) if height != width else image


def _square_tensor(images: Tensor, target: int) -> Tensor:
    height, width = _scaled(images.shape[2], images.shape[3], target)
    if (height, width) != images.shape[2:]:
        images = interpolate(images, size=(height, width), mode="bilinear", antialias=True, align_corners=False)
    top, left = (height - target) // 2, (width - target) // 2
    return images[:, :, top : top + target, left : left + target]
