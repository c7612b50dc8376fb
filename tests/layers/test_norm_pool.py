"""BatchNorm over the group, and pooling."""

import pytest
import torch
from torch import Tensor, nn

from hssl.backbones import randomize_statistics
from hssl.errors import ConfigurationError, SizeError
from hssl.layers import GroupBatchNorm, GroupPool, SpacePool
from laws import BOUNDS, TURNING, error, moved_features, noise, turning_errors


class NormByStream(nn.Module):
    """Wrong on purpose: each stream has statistics and an affine map of its own."""

    def __init__(self, channels: int, streams: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels * streams)

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = self.norm(values.flatten(1, 2))
        return out.reshape(values.shape)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("name", TURNING)
def test_turns_and_mirrors_are_exact(name: str, dtype: torch.dtype, training: bool) -> None:
    group = TURNING[name]()
    norm = GroupBatchNorm(3).to(dtype).train(training)
    randomize_statistics(norm, torch.Generator().manual_seed(0))
    values = noise(2, 3, group.order, 6, 6, dtype=dtype)
    assert max(turning_errors(norm, values, range(group.order), lifted=True)) <= BOUNDS[dtype]


@pytest.mark.parametrize("training", [True, False])
def test_statistics_by_stream_break_the_law(training: bool) -> None:
    norm = NormByStream(3, 4).double().train(training)
    randomize_statistics(norm, torch.Generator().manual_seed(0))
    assert min(turning_errors(norm, noise(2, 3, 4, 6, 6), [1, 2, 3], lifted=True)) > 1e-2


def test_the_layout_changes_nothing_but_the_speed() -> None:
    fast, slow = GroupBatchNorm(3).double(), nn.BatchNorm3d(3).double()
    values = noise(4, 3, 6, 5, 5) * 2 + 1
    for _ in range(3):
        assert error(fast(values), slow(values)) <= 1e-13
    for key, buffer in slow.state_dict().items():
        torch.testing.assert_close(fast.state_dict()[key], buffer, rtol=1e-13, atol=1e-13)
    assert error(fast.eval()(values), slow.eval()(values)) <= 1e-13


def test_rows_are_the_same_features_in_another_order() -> None:
    """Stream after stream or image after image: the statistics are sums over all of them."""
    values = noise(4, 3, 6, 5, 5) * 2 + 1
    whole, by_stream, by_image = (GroupBatchNorm(3).double() for _ in range(3))
    expected = whole(values)
    rows = by_stream(values.permute(2, 0, 1, 3, 4).flatten(0, 1))
    assert error(rows.reshape(6, 4, 3, 5, 5).permute(1, 2, 0, 3, 4), expected) <= 1e-13
    rows = by_image(values.transpose(1, 2).flatten(0, 1))
    assert error(rows.reshape(4, 6, 3, 5, 5).transpose(1, 2), expected) <= 1e-13
    for norm in (by_stream, by_image):
        torch.testing.assert_close(norm.state_dict(), whole.state_dict(), rtol=1e-13, atol=1e-13)


def test_pooling_over_the_group_is_invariant_to_its_permutations() -> None:
    values = noise(2, 3, 8)
    for how in ("max", "mean"):
        pool = GroupPool(how)
        for shift in range(8):
            torch.testing.assert_close(pool(values.roll(shift, 2)), pool(values), rtol=0, atol=1e-15)
    maps = noise(2, 3, 4, 5, 5)
    pooled = SpacePool()(GroupPool()(maps))
    for quarter in range(4):
        torch.testing.assert_close(SpacePool()(GroupPool()(moved_features(maps, quarter))), pooled, rtol=0, atol=1e-14)
    assert torch.equal(GroupPool("max")(values), values.max(dim=2).values)
    assert pooled.shape == (2, 3)


def test_bad_values_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'max' or 'mean'"):
        GroupPool("sum")  # type: ignore[arg-type]
    for shape in ((2, 3, 5), (2, 4, 5, 5), (2, 4, 4, 5, 5)):
        with pytest.raises(SizeError, match=r"takes features \[batch, 3, group,.* or rows \[rows, 3, height, width\]"):
            GroupBatchNorm(3)(torch.zeros(shape))
