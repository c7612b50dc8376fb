import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hssl.data.store import ImageStore, MappedImages, MappedStore, channel_counts, statistics_of
from hssl.errors import DataError
from small_data import mapped


def _store(channels: int = 3, count: int = 7, labels: bool = True) -> ImageStore:
    images = torch.randint(
        0, 256, (count, channels, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    mean, std = statistics_of(channel_counts(images))
    names = ("a", "b") if labels else ()
    return ImageStore(images, torch.arange(count) % 2 if labels else None, mean, std, names)


def test_batch_is_the_written_formula() -> None:
    store = _store()
    indices = torch.tensor([3, 0, 3])
    expected = (store.images[indices].double() / 255 - store.mean.double()[:, None, None]) / store.std.double()[
        :, None, None
    ]
    assert torch.allclose(store.batch(indices, torch.float64), expected, atol=1e-12)
    assert store.batch(indices).dtype == torch.float32
    torch.testing.assert_close(store.batch(indices).double(), expected, atol=1e-6, rtol=1e-6)


def test_the_formula_is_worked_out_in_its_order_bit_for_bit() -> None:
    store = _store()
    mean, std = store.mean[:, None, None], store.std[:, None, None]
    batch = store.batch(torch.arange(7))
    assert torch.equal(batch, (store.images.float() / 255 - mean) / std)
    # The control: the same number on paper.
    assert not torch.equal(batch, (store.images.float() - 255 * mean) / (255 * std))


def test_low_precision_is_rounded_once() -> None:
    store = _store()
    indices = torch.arange(len(store))
    assert torch.equal(store.batch(indices, torch.bfloat16), store.batch(indices).to(torch.bfloat16))


def test_unit_keeps_black_at_zero_and_white_at_one() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    store = ImageStore(images, None, torch.zeros(1), torch.ones(1))
    assert store.batch(torch.tensor([0, 1])).flatten().tolist() == [0.0, 1.0]


def test_batch_leaves_the_store_as_it_was() -> None:
    store = _store()
    before = store.images.clone()
    store.batch(torch.arange(len(store))).zero_()
    assert torch.equal(store.images, before)


def test_a_constant_channel_becomes_zero_not_nan() -> None:
    images = torch.full((4, 1, 3, 3), 9, dtype=torch.uint8)
    store = ImageStore(images, None, *statistics_of(channel_counts(images)))
    assert store.batch(torch.arange(4)).abs().max() < 1e-6


@pytest.mark.parametrize(
    "change",
    [
        {"images": torch.zeros(7, 3, 5, 5)},
        {"images": torch.zeros(7, 3, 5, 4, dtype=torch.uint8)},
        {"images": torch.zeros(7, 5, 5, dtype=torch.uint8)},
        {"labels": torch.zeros(6, dtype=torch.int64)},
        {"mean": torch.zeros(1)},
        {"std": torch.ones(2)},
    ],
)
def test_what_does_not_belong_together_is_refused(change: dict[str, torch.Tensor]) -> None:
    with pytest.raises(DataError):
        dataclasses.replace(_store(), **change)


def test_to_and_pickle_keep_everything() -> None:
    store = _store()
    for copy in (store.to("cpu"), pickle.loads(pickle.dumps(store))):
        assert torch.equal(copy.images, store.images)
        assert copy.class_names == store.class_names
    assert _store(labels=False).to("cpu").labels is None
    assert _store().to("meta").std.device.type == "meta"
    assert "7 x 3 x 5 x 5" in repr(store)


def test_pieces_are_all_images_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    store = _store()
    assert [len(piece) for piece in store.pieces()] == [7]
    monkeypatch.setattr("hssl.data.store._BYTES_AT_ONCE", 2 * 3 * 25)
    pieces = list(store.pieces())
    assert [len(piece) for piece in pieces] == [2, 2, 2, 1]
    assert torch.equal(torch.cat(pieces), store.images)


def test_a_device_without_room_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80.00 GiB")

    store = _store()
    monkeypatch.setattr(torch.Tensor, "to", full)
    with pytest.raises(DataError, match=r"do not fit into the memory of cuda:1[\s\S]*--data\.store mapped"):
        store.to("cuda:1")


def _noise(count: int = 50) -> torch.Tensor:
    images = torch.randint(0, 256, (count, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images[:, 1] //= 3
    return images


def test_statistics_equal_the_plain_ones_and_ignore_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = _noise()
    mean, std = statistics_of(channel_counts(images))
    plain = images.double().transpose(0, 1).flatten(1) / 255
    torch.testing.assert_close(mean.double(), plain.mean(1), atol=1e-7, rtol=0)
    torch.testing.assert_close(std.double(), plain.std(1, correction=0), atol=1e-7, rtol=0)
    assert std[1] < std[0] / 2
    monkeypatch.setattr("hssl.data.store._BYTES_AT_ONCE", 7 * 3 * 36)
    assert torch.equal(statistics_of(channel_counts(images))[0], mean)


def test_sums_of_histograms_give_the_same_statistics_bit_for_bit() -> None:
    images = _noise(101)
    whole = statistics_of(channel_counts(images))
    parts = torch.stack([channel_counts(piece) for piece in images.split([1, 40, 60])]).sum(0)
    assert all(torch.equal(one, other) for one, other in zip(statistics_of(parts), whole, strict=True))
    # The control: a histogram that lacks one image.
    assert not torch.equal(statistics_of(channel_counts(images[1:]))[0], whole[0])


def _written(path: Path, images: torch.Tensor) -> MappedImages:
    path.write_bytes(images.numpy().tobytes())
    count, channels, side, _ = images.shape
    return MappedImages(path, (count, channels, side, side))


def _all(file: MappedImages) -> torch.Tensor:
    return file.take(np.arange(len(file)))


def test_what_was_written_is_read_by_row(tmp_path: Path) -> None:
    images = _noise(7)
    file = _written(tmp_path / "x.bin", images)
    assert file.shape == (7, 3, 6, 6)
    assert torch.equal(_all(file), images)
    for rows in ([], [0], [2, 3, 4], [0, 2, 6], [1, 1, 5]):
        assert torch.equal(file.take(np.array(rows, dtype=np.int64)), images[rows])
    assert "7 x 3 x 6 x 6" in repr(file)
    assert len(_written(tmp_path / "y.bin", images[:0])) == 0


@pytest.mark.parametrize("rows", [[7], [0, 7], [-1, 3]])
def test_rows_outside_are_refused(tmp_path: Path, rows: list[int]) -> None:
    with pytest.raises(IndexError, match="of 7 images"):
        _written(tmp_path / "x.bin", _noise(7)).take(np.array(rows))


def test_what_is_taken_is_a_copy(tmp_path: Path) -> None:
    file = _written(tmp_path / "x.bin", _noise(3))
    _all(file).zero_()
    assert torch.equal(_all(file), _noise(3))


def test_pickling_takes_the_path_and_not_the_images(tmp_path: Path) -> None:
    file = _written(tmp_path / "x.bin", _noise(100))
    content = pickle.dumps(file)
    assert len(content) < 1000 < file.path.stat().st_size
    assert torch.equal(_all(pickle.loads(content)), _all(file))


def test_without_the_systems_hints_it_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _written(tmp_path / "x.bin", _noise(7))
    monkeypatch.delattr("os.posix_fadvise")
    assert torch.equal(file.take(np.array([1, 2, 6])), _noise(7)[[1, 2, 6]])


def test_the_system_is_told_of_exactly_the_rows_to_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    file = _written(tmp_path / "x.bin", _noise(9))
    monkeypatch.setattr("os.posix_fadvise", lambda _, offset, length, advice: asked.append((offset, length)))
    file.take(np.array([0, 1, 2, 5, 7, 8]))
    assert asked == [(0, 3 * 108), (5 * 108, 108), (7 * 108, 2 * 108)]


@pytest.mark.parametrize("how", ["missing", "empty", "cut", "longer"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, how: str) -> None:
    path = tmp_path / "x.bin"
    shape = _written(path, _noise(7)).shape
    content = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes({"empty": b"", "cut": content[:-1], "longer": content + b"x"}[how])
    with pytest.raises(DataError, match=r"x\.bin[\s\S]*delete the file"):
        MappedImages(path, shape)


def _held(channels: int = 3, count: int = 23, labels: bool = True) -> ImageStore:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, channels, 7, 7), dtype=torch.uint8, generator=generator)
    names = ("a", "b") if labels else ()
    return ImageStore(
        images, torch.arange(count) % 2 if labels else None, *statistics_of(channel_counts(images)), names
    )


CHOICES = {
    "in order": [3, 4, 5],
    "backwards": [20, 11, 2],
    "mixed": [5, 1, 22, 0, 7, 6],
    "repeated": [4, 9, 4, 0, 9, 4],
    "one": [8],
    "none": [],
    "all": list(range(23)),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_batches_are_those_from_memory_bit_for_bit(choice: str, dtype: torch.dtype, device: torch.device) -> None:
    store = _held().to(device)
    file = mapped(_held()).to(device)
    indices = torch.tensor(CHOICES[choice], dtype=torch.int64, device=device)
    expected = store.batch(indices, dtype)
    batch = file.batch(indices, dtype)
    assert torch.equal(batch, expected)
    assert (batch.dtype, batch.device.type, batch.stride()) == (dtype, device.type, expected.stride())
    assert torch.equal(file.batch(indices.cpu(), dtype), expected)
    # The control: one grey level in one pixel of one of these images.
    if len(indices):
        images = _held().images
        images[CHOICES[choice][0], 0, 0, 0] ^= 1
        assert not torch.equal(mapped(dataclasses.replace(_held(), images=images)).batch(indices, dtype), expected)


def test_pixels_and_pieces_are_those_from_held(monkeypatch: pytest.MonkeyPatch) -> None:
    store, file = _held(), mapped(_held())
    indices = torch.tensor([5, 1, 22])
    assert torch.equal(file.pixels(indices), store.pixels(indices))
    monkeypatch.setattr("hssl.data.store._BYTES_AT_ONCE", 4 * 3 * 49)
    assert [len(piece) for piece in file.pieces()] == [4, 4, 4, 4, 4, 3]
    assert torch.equal(torch.cat(list(file.pieces())), store.images)


def test_rows_are_read_in_the_order_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    original = MappedImages.take

    def noted(self: MappedImages, rows: Any, **named: Any) -> torch.Tensor:
        asked.append(rows.tolist())
        return original(self, rows, **named)

    monkeypatch.setattr(MappedImages, "take", noted)
    mapped(_held()).batch(torch.tensor([9, 2, 30 - 8, 2]))
    assert asked == [[2, 2, 9, 22]]


def test_images_outside_of_a_store_are_refused() -> None:
    for store in (_held(), mapped(_held())):
        for index in (23, -1):
            with pytest.raises(IndexError):
                store.batch(torch.tensor([0, index]))


def test_everything_else_is_kept_too() -> None:
    store, file = _held(), mapped(_held())
    assert isinstance(file, MappedStore)
    assert len(file) == len(store) == 23
    assert (file.shape, file.device, file.class_names) == (store.shape, store.device, store.class_names)
    assert all(torch.equal(getattr(file, name), getattr(store, name)) for name in ("labels", "mean", "std"))
    assert (file.on_disk, store.on_disk) == (True, False)
    assert "23 x 3 x 7 x 7" in repr(file)
    assert str(file.images.path) in repr(file)
    assert mapped(_held(labels=False)).labels is None


def test_pickles_and_moves_take_no_images(device: torch.device) -> None:
    file = mapped(_held(count=200))
    content = pickle.dumps(file)
    assert len(content) < 5000 < file.images.path.stat().st_size
    indices = torch.tensor([8, 3])
    for copy in (pickle.loads(content), file.to(device), file.to("cpu")):
        assert torch.equal(copy.batch(indices).cpu(), file.batch(indices))
    moved = file.to("meta")
    assert {tensor.device.type for tensor in (moved.labels, moved.mean, moved.std)} == {"meta"}
    assert moved.device.type == "meta"
    assert moved.images is file.images


def test_grey_images_can_be_given_three_channels() -> None:
    grey = _held(channels=1)
    statistics = grey.mean.expand(3), grey.std.expand(3)
    widened = ImageStore(grey.images.expand(-1, 3, -1, -1).contiguous(), None, *statistics)
    file = MappedStore(mapped(grey).images, None, *statistics, channels=3)
    indices = torch.tensor([5, 1, 22])
    assert torch.equal(file.batch(indices), widened.batch(indices))
    assert file.batch(indices).stride() == widened.batch(indices).stride()
    assert torch.equal(torch.cat(list(file.pieces())), widened.images)
    assert file.shape == widened.shape
    with pytest.raises(DataError, match="only grey images"):
        MappedStore(mapped(_held()).images, None, torch.zeros(1), torch.ones(1), channels=1)


@pytest.mark.parametrize(
    "change", [{"labels": torch.zeros(22, dtype=torch.int64)}, {"mean": torch.zeros(1)}, {"std": torch.ones(2)}]
)
def test_what_does_not_belong_to_mapped_images_is_refused(change: dict[str, torch.Tensor]) -> None:
    with pytest.raises(DataError):
        dataclasses.replace(mapped(_held()), **change)
