import pytest
import torch

from hssl.data.statistics import channel_counts, channel_statistics, statistics_of


def _images(count: int = 50) -> torch.Tensor:
    images = torch.randint(0, 256, (count, 3, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images[:, 1] //= 3
    return images


def test_statistics_equal_the_plain_ones_and_ignore_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = _images()
    mean, std = channel_statistics(images)
    plain = images.double().transpose(0, 1).flatten(1) / 255
    torch.testing.assert_close(mean.double(), plain.mean(1), atol=1e-7, rtol=0)
    torch.testing.assert_close(std.double(), plain.std(1, correction=0), atol=1e-7, rtol=0)
    assert std[1] < std[0] / 2
    monkeypatch.setattr("hssl.data.store._BYTES_AT_ONCE", 7 * 3 * 36)
    assert torch.equal(channel_statistics(images)[0], mean)


def test_sums_of_histograms_give_the_same_statistics_bit_for_bit() -> None:
    images = _images(101)
    whole = channel_statistics(images)
    parts = torch.stack([channel_counts(piece) for piece in images.split([1, 40, 60])]).sum(0)
    assert all(torch.equal(one, other) for one, other in zip(statistics_of(parts), whole, strict=True))
    # The control: a histogram that lacks one image.
    assert not torch.equal(statistics_of(channel_counts(images[1:]))[0], whole[0])
