import dataclasses
import pickle

import pytest
import torch

from hssl.data.image_store import ImageStore
from hssl.data.statistics import channel_statistics
from hssl.errors import DataError


def _store(channels: int = 3, count: int = 7, labels: bool = True) -> ImageStore:
    images = torch.randint(
        0, 256, (count, channels, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    mean, std = channel_statistics(images)
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
    store = ImageStore(images, None, *channel_statistics(images))
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
