import pickle
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from hssl.data.mapped_file import MappedFile, MappedWriter
from hssl.errors import DataError


def _images(count: int, channels: int = 1, side: int = 6, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator)


def _written(path: Path, *pieces: torch.Tensor) -> MappedFile:
    with MappedWriter(path, pieces[0].shape[-1]) as writer:
        for piece in pieces:
            writer.append(piece)
    return MappedFile(path)


def _all(file: MappedFile) -> torch.Tensor:
    return file.take(np.arange(len(file)))


def test_what_was_written_piece_by_piece_is_read_by_row(tmp_path: Path) -> None:
    pieces = _images(3), _images(0), _images(4, seed=1)
    whole = torch.cat(pieces)
    file = _written(tmp_path / "x.npy", *pieces)
    assert file.shape == (7, 1, 6, 6)
    assert torch.equal(_all(file), whole)
    for rows in ([], [0], [2, 3, 4], [0, 2, 6], [1, 1, 5]):
        assert torch.equal(file.take(np.array(rows, dtype=np.int64)), whole[rows])
    # Any reader of NumPy's format can open it.
    assert (np.load(tmp_path / "x.npy") == whole.numpy()).all()
    assert "7 x 1 x 6 x 6" in repr(file)


@pytest.mark.parametrize("rows", [[7], [0, 7], [-1, 3]])
def test_rows_outside_are_refused(tmp_path: Path, rows: list[int]) -> None:
    with pytest.raises(IndexError, match="of 7 images"):
        _written(tmp_path / "x.npy", _images(7)).take(np.array(rows))


def test_what_is_taken_is_a_copy(tmp_path: Path) -> None:
    file = _written(tmp_path / "x.npy", _images(3))
    _all(file).zero_()
    assert torch.equal(_all(file), _images(3))


@pytest.mark.parametrize("first", [0, 1, 5, 11])
@pytest.mark.parametrize("bound", [1, 200, 2**22])
def test_grey_images_are_widened_when_a_coloured_one_comes(
    tmp_path: Path, first: int, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hssl.data.store._BYTES_AT_ONCE", bound)
    before, coloured, after = _images(first), _images(2, 3, seed=1), _images(3, seed=2)
    file = _written(tmp_path / "x.npy", before, coloured, after)
    assert file.shape[1] == 3
    expected = torch.cat([piece.expand(-1, 3, -1, -1) for piece in (before, coloured, after)])
    assert torch.equal(_all(file), expected)
    # The control: nothing was widened where nothing is coloured.
    assert _written(tmp_path / "y.npy", before, after).shape[1] == 1


def test_pickling_takes_the_path_and_not_the_images(tmp_path: Path) -> None:
    file = _written(tmp_path / "x.npy", _images(50, 3, 40))
    content = pickle.dumps(file)
    assert len(content) < 1000 < file.path.stat().st_size
    assert torch.equal(_all(pickle.loads(content)), _all(file))


def test_without_the_systems_hints_it_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _written(tmp_path / "x.npy", _images(7))
    monkeypatch.delattr("os.posix_fadvise")
    assert torch.equal(file.take(np.array([1, 2, 6])), _images(7)[[1, 2, 6]])


def test_the_system_is_told_of_exactly_the_rows_to_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    file = _written(tmp_path / "x.npy", _images(9))
    monkeypatch.setattr("os.posix_fadvise", lambda _, offset, length, advice: asked.append((offset, length)))
    file.take(np.array([0, 1, 2, 5, 7, 8]))
    assert asked == [(128, 3 * 36), (128 + 5 * 36, 36), (128 + 7 * 36, 2 * 36)]


def _spoil(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "object":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    elif how == "floats":
        np.save(path, np.zeros((7, 1, 6, 6), dtype=np.float32))
    elif how == "oblong":
        np.save(path, np.zeros((7, 1, 6, 5), dtype=np.uint8))
    elif how == "flat":
        np.save(path, np.zeros((7, 36), dtype=np.uint8))
    elif how == "archive":
        with path.open("wb") as stream:
            np.savez(stream, x=np.zeros(3))
    else:
        spoiled = {
            "empty": b"",
            "header cut": content[:50],
            "cut": content[:-1],
            "longer": content + b"x",
            "no header": bytes(128) + content[128:],
            "text": b"hello",
        }
        path.write_bytes(spoiled[how])


@pytest.mark.parametrize(
    "how",
    [
        "missing", "empty", "header cut", "cut", "longer", "no header", "text", "object", "floats", "oblong", "flat",
        "archive",
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, how: str) -> None:
    path = tmp_path / "x.npy"
    _written(path, _images(7))
    _spoil(path, how)
    with pytest.raises(DataError, match=r"x\.npy") as caught:
        MappedFile(path)
    assert "delete it" in str(caught.value)


def test_an_unfinished_file_has_no_header(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"

    def interrupted() -> None:
        with MappedWriter(path, 6) as writer:
            writer.append(_images(7))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(DataError):
        MappedFile(path)


@pytest.mark.parametrize("pieces", [1, 40])
def test_a_disk_without_room_is_told(tmp_path: Path, pieces: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(DataError, match=r"cannot be written[\s\S]*File too large[\s\S]*HSSL_CACHE") as caught:
            _written(tmp_path / "x.npy", *_images(1000).chunk(pieces))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path) in str(caught.value)
    # The control: with room the same pieces are written.
    assert len(_written(tmp_path / "x.npy", *_images(1000).chunk(pieces))) == 1000
