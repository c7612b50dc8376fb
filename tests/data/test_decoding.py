import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hssl.data.decoding import decode, decode_pieces, fit_image, fit_tensor, open_image
from hssl.data.settings import DataSettings
from hssl.data.split import ArrayPixels, Encoded, EncodedPixels, Split
from hssl.errors import ConfigurationError, DataError

PLAIN = DataSettings(resolution=16)


def _encode(image: Image.Image, kind: str = "png", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_padding_gives_the_smaller_half_to_the_top_and_the_left() -> None:
    fitted = fit_image(Image.fromarray(np.full((5, 8), 7, np.uint8)), DataSettings(resolution=8), "x")
    assert fitted.shape == (1, 8, 8)
    assert (fitted[0].max(1) == 7).tolist() == [False, True, True, True, True, True, False, False]


def test_padding_refuses_a_larger_image_and_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"9 x 20 pixels in cat.png") as caught:
        fit_image(Image.new("L", (20, 9)), PLAIN, "cat.png")
    assert "--data.fit resize" in str(caught.value)
    assert "--data.resize_to 16" in str(caught.value)
    fit_image(Image.new("L", (16, 9)), PLAIN, "cat.png")


def test_resizing_scales_the_shorter_side_and_crops_the_centre() -> None:
    stripes = np.zeros((20, 60), np.uint8)
    stripes[:, 20:40] = 200
    fitted = fit_image(Image.fromarray(stripes), DataSettings(resolution=10, fit="resize"), "x")
    assert fitted.shape == (1, 10, 10)
    assert (fitted[:, :, 1:-1] == 200).all()


def test_resize_to_comes_before_padding() -> None:
    fitted = fit_image(Image.new("L", (40, 40), 90), DataSettings(resolution=9, resize_to=6), "x")[0]
    assert (fitted[1:7, 1:7] == 90).all()
    assert fitted.astype(int).sum() == 36 * 90


def test_reducing_is_antialiased() -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    fitted = fit_image(Image.fromarray(board), DataSettings(resolution=8, fit="resize"), "x")
    assert np.abs(fitted.astype(int) - 127).max() <= 3
    # The control: sampling without a filter keeps pure black or white.
    assert set(np.unique(board[::8, ::8])) <= {0, 255}


def test_black_beside_white_stays_black() -> None:
    edge = np.zeros((40, 40), np.uint8)
    edge[:, 20:] = 255
    fitted = fit_image(Image.fromarray(edge), DataSettings(resolution=10, fit="resize"), "x")
    assert fitted[0, :, 3].max() == 0
    assert fitted[0, :, 7].min() == 255


@pytest.mark.parametrize("shape", [(28, 28), (20, 31), (31, 20), (5, 9)])
@pytest.mark.parametrize(
    "config",
    [
        DataSettings(resolution=25, fit="resize"),
        DataSettings(resolution=33, fit="resize"),
        DataSettings(resolution=16, resize_to=13),
        DataSettings(resolution=19, resize_to=12, fit="resize"),
        DataSettings(resolution=31),
    ],
)
def test_the_whole_tensor_is_fitted_as_each_image_is(shape: tuple[int, int], config: DataSettings) -> None:
    images = _noise(4, *shape)
    slow = np.stack([fit_image(Image.fromarray(image), config, "x") for image in images])
    fast = fit_tensor(torch.from_numpy(images)[:, None], config).numpy()
    assert fast.dtype == np.uint8
    assert fast.shape == slow.shape
    twice = config.resize_to is not None and config.fit == "resize"
    assert np.abs(fast.astype(int) - slow).max() <= (2 if twice else 1)


@pytest.mark.parametrize(
    ("image", "mode", "value"),
    [
        (Image.new("L", (4, 4), 77), "L", 77),
        (Image.new("1", (4, 4), 1), "L", 255),
        (Image.new("LA", (4, 4), (200, 128)), "L", 100),
        (Image.fromarray(np.full((4, 4), 257 * 77, np.uint16)), "L", 77),
        (Image.fromarray(np.full((4, 4), 65535, np.uint16)), "L", 255),
        (Image.new("RGB", (4, 4), (1, 2, 3)), "RGB", (1, 2, 3)),
        (Image.new("RGBA", (4, 4), (200, 100, 50, 0)), "RGB", (0, 0, 0)),
        (Image.new("RGBA", (4, 4), (200, 100, 50, 255)), "RGB", (200, 100, 50)),
        (Image.new("RGB", (4, 4), (9, 99, 200)).quantize(2), "RGB", (9, 99, 200)),
        (Image.new("L", (4, 4), 60).convert("P"), "L", 60),
    ],
)
def test_every_mode_becomes_eight_bits(image: Image.Image, mode: str, value: object) -> None:
    opened = open_image(_encode(image), PLAIN)
    assert opened.mode == mode
    got = opened.getpixel((1, 1))
    assert np.abs(np.subtract(got, value)).max() <= 1


def test_a_palette_with_a_clear_colour_is_laid_over_black() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([250, 0, 0, 0, 250, 0])
    image.putpixel((0, 0), 1)
    opened = open_image(_encode(image, transparency=0), PLAIN)
    assert opened.getpixel((1, 1)) == (0, 0, 0)
    assert opened.getpixel((0, 0)) == (0, 250, 0)


def test_cmyk_and_the_first_frame() -> None:
    assert open_image(_encode(Image.new("CMYK", (8, 8)), "jpeg"), PLAIN).mode == "RGB"
    frames = [Image.new("L", (4, 4), value) for value in (10, 200)]
    opened = open_image(_encode(frames[0], "gif", save_all=True, append_images=frames[1:]), PLAIN)
    assert np.asarray(opened).max() < 20


def test_grey_is_forced_either_way() -> None:
    colour, grey = _encode(Image.new("RGB", (4, 4), (0, 255, 0))), _encode(Image.new("L", (4, 4), 8))
    assert open_image(colour, DataSettings(grey=True)).getpixel((0, 0)) == 150
    assert open_image(grey, DataSettings(grey=False)).getpixel((0, 0)) == (8, 8, 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff"])
def test_orientation_is_respected(orientation: int, kind: str) -> None:
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :8] = 255
    # How a camera stores the upright picture under each tag (EXIF 2.3, 4.6.4).
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.T,
        6: np.rot90(upright, 1), 7: np.rot90(upright, 2).T, 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _encode(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif)
    assert np.abs(np.asarray(open_image(content, PLAIN)).astype(int) - upright).max() < 40


def test_a_large_photograph_may_be_decoded_small_but_not_below_the_target() -> None:
    image = Image.fromarray(_noise(8, 8, 3)).resize((800, 800), Image.Resampling.BICUBIC)
    content = _encode(image, "jpeg", quality=95)
    config = DataSettings(resolution=32, fit="resize")
    opened = open_image(content, config)
    assert 64 <= opened.width < 800
    exact = fit_image(open_image(content, DataSettings(resolution=800)), config, "x")
    assert np.abs(fit_image(opened, config, "x").astype(int) - exact).max() <= 6


@pytest.mark.parametrize(
    "content",
    [None, b"", b"no image", _encode(Image.fromarray(_noise(32, 32, 3)), "jpeg")[:600], Path("/nowhere/x.png")],
)
def test_unreadable_content_raises(content: bytes | Path | None) -> None:
    with pytest.raises((OSError, ValueError, SyntaxError)):
        open_image(content, PLAIN)


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="no fixed range"):
        open_image(_encode(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "tiff"), PLAIN)


def test_arrays_are_decoded_at_the_asked_rows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hssl.data.decoding._CHUNK", 2)
    array = _noise(9, 16, 16)
    rows = np.array([1, 4, 5, 6, 8])
    decoded = decode(Split("train", ArrayPixels(array), None), rows, PLAIN)
    assert (decoded.images[:, 0].numpy() == array[rows]).all()
    coloured = decode(Split("train", ArrayPixels(array), None), rows, DataSettings(resolution=16, grey=False))
    assert coloured.images.shape == (5, 3, 16, 16)


def test_resize_to_above_the_resolution_contradicts_padding() -> None:
    split = Split("train", ArrayPixels(_noise(2, 8, 8)), None)
    with pytest.raises(ConfigurationError, match="cannot be padded"):
        decode(split, np.arange(2), DataSettings(resolution=16, resize_to=20))
    decode(split, np.arange(2), DataSettings(resolution=16, resize_to=20, fit="resize"))


def _files(*contents: bytes) -> Split:
    def read(indices: np.ndarray) -> Iterator[Encoded]:
        for index in indices:
            yield Encoded(f"{index}.png", contents[index])

    return Split("train", EncodedPixels(len(contents), read, ()), None)


def test_pieces_are_small_and_make_up_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = [_encode(Image.fromarray(_noise(16, 16, seed=seed))) for seed in range(5)]
    coloured = _encode(Image.fromarray(_noise(16, 16, 3, seed=9)))
    split = _files(*grey, b"broken", coloured, grey[0])
    monkeypatch.setattr("hssl.data.store._BYTES_AT_ONCE", 2 * 3 * 16 * 16)
    rows = np.arange(8)
    pieces = list(decode_pieces(split, rows, PLAIN))
    assert [tuple(piece.images.shape[:2]) for piece in pieces] == [(2, 1), (2, 1), (2, 3), (1, 1)]
    assert [list(piece.unreadable) for piece in pieces] == [[], [], [5], []]
    decoded = decode(split, rows, PLAIN)
    assert rows[decoded.kept].tolist() == [0, 1, 2, 3, 4, 6, 7]
    assert decoded.left_out == ("5.png (not an image)",)
    widened = torch.cat([piece.images.expand(-1, 3, -1, -1) for piece in pieces])
    assert torch.equal(decoded.images, widened)
    monkeypatch.undo()
    assert len(list(decode_pieces(split, rows, PLAIN))) == 1
    assert torch.equal(decode(split, rows, PLAIN).images, widened)


def test_more_images_than_memory_holds_are_refused_with_the_way_out() -> None:
    rows = np.broadcast_to(np.int64(0), 10**9)
    with pytest.raises(
        DataError, match=r"do not fit into memory[\s\S]*1,000,000,000 images[\s\S]*--data\.store mapped"
    ):
        decode(_files(b""), rows, DataSettings(resolution=1024))
