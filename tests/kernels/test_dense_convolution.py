"""Dense convolutions in C against torch's, their slow twin."""

import pytest
import torch
from torch.nn import functional as F

from hssl.groups import RowLayout, Scales, Translations
from hssl.kernels.dense_convolution import DenseConvolution, is_faster
from hssl.layers import LiftingConv2d
from laws import BOUNDS, PAPER_SCALES, error, noise, randomize

_LAST = torch.channels_last


def _twins(
    maps: torch.Tensor, kernel: torch.Tensor, stride: int, padding: int, rectify: bool, want_maps: bool = True
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Output and gradients of kernel and maps, by torch and in C."""
    leaf, weight = maps.clone().requires_grad_(), kernel.clone().requires_grad_()
    slow = F.conv2d(F.relu(leaf) if rectify else leaf, weight, stride=stride, padding=padding)
    d_out = noise(*slow.shape, seed=2, dtype=maps.dtype)
    slow.backward(d_out)  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    assert weight.grad is not None
    convolution = DenseConvolution(stride, padding)
    fast = torch.empty_like(slow)
    convolution.convolve(maps, kernel, fast, rectify)
    # It is added to.
    d_kernel, d_maps = torch.ones_like(kernel), torch.empty_like(maps)
    convolution.differentiate(maps, d_out, kernel, d_kernel, d_maps if want_maps else None, rectify)
    return [slow.detach(), weight.grad, leaf.grad], [fast, d_kernel - 1, d_maps]


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("images", [1, 16, 37])
@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (1, 2), (2, 2), (3, 1), (1, 6)])
@pytest.mark.parametrize(("channels", "outs"), [(1, 32), (3, 9), (9, 3), (5, 1), (2, 11)])
def test_they_equal_torchs(
    channels: int, outs: int, stride: int, padding: int, images: int, dtype: torch.dtype
) -> None:
    maps = noise(images, channels, 8, 11, dtype=dtype)
    kernel = noise(outs, channels, 5, 5, seed=1, dtype=dtype)
    for rectify in (False, True):
        slow, fast = _twins(maps, kernel, stride, padding, rectify)
        assert max(error(one, other) for one, other in zip(fast, slow, strict=True)) <= BOUNDS[dtype]


@pytest.mark.parametrize("size", [1, 3, 7, 11])
def test_kernels_of_all_sizes(size: int) -> None:
    slow, fast = _twins(noise(20, 3, 11, 12), noise(4, 3, size, size, seed=1), 1, size // 2, False)
    assert max(error(one, other) for one, other in zip(fast, slow, strict=True)) <= BOUNDS[torch.float64]


def test_a_kernel_with_one_point_wrong_would_be_seen() -> None:
    """The control of the comparison: the same convolution by a kernel that is off by one weight, or not rectified."""
    maps, kernel = noise(20, 3, 9, 9), noise(4, 3, 5, 5, seed=1)
    wrong = kernel.clone()
    wrong[2, 1, 4, 0] += 0.1
    slow, _ = _twins(maps, kernel, 1, 2, False)
    _, fast = _twins(maps, wrong, 1, 2, False)
    assert error(fast[0], slow[0]) > 1e-3
    assert error(fast[2], slow[2]) > 1e-3
    _, rectified = _twins(maps, kernel, 1, 2, True)
    assert min(error(one, other) for one, other in zip(rectified, slow, strict=True)) > 1e-2


def test_images_keep_to_themselves() -> None:
    """A vector holds many images: what is infinite in one must not reach another, nor a NaN be rectified away."""
    maps, kernel = noise(20, 2, 7, 7), noise(3, 2, 3, 3, seed=1)
    maps[5, 1, 3, 3] = torch.nan
    out = torch.empty(20, 3, 7, 7, dtype=maps.dtype)
    DenseConvolution(1, 1).convolve(maps, kernel, out, rectify=True)
    assert out[5, :, 3, 3].isnan().all()
    assert out[torch.arange(20) != 5].isfinite().all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_any_number_of_threads_gives_the_same(threads: int) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        slow, fast = _twins(noise(40, 3, 9, 9), noise(5, 3, 5, 5, seed=1), 1, 2, False)
    finally:
        torch.set_num_threads(before)
    assert max(error(one, other) for one, other in zip(fast, slow, strict=True)) <= BOUNDS[torch.float64]


def test_it_pays_for_few_channels_and_many_images() -> None:
    assert is_faster(3, 9, 7, 256)
    assert not is_faster(3, 9, 7, 8)
    assert not is_faster(32, 64, 11, 256)


@pytest.mark.parametrize("group", [Translations(), Scales(PAPER_SCALES)])
def test_layers_use_them_and_do_without_them(group: Translations | Scales, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lifting of many images, with the kernels in C and without."""
    layer = LiftingConv2d(3, 5, 7, 7, group, padding=3).double()
    randomize(layer)
    images, rows = noise(40, 3, 9, 9), noise(40 * group.streams, 3, 9, 9)
    layout = RowLayout((40,) * group.streams)
    used: list[bool] = []
    convolve = DenseConvolution.convolve
    monkeypatch.setattr(DenseConvolution, "convolve", lambda *given: (used.append(True), convolve(*given)))
    fast, fast_rows = layer(images), layer.rows(rows, layout)
    assert len(used) == 2 * group.streams
    monkeypatch.setattr("hssl.kernels.row_convolution.is_faster", lambda *_: False)
    monkeypatch.setattr("hssl.kernels.convolution.is_faster", lambda *_: False)
    assert error(fast, layer(images)) <= BOUNDS[torch.float64]
    assert error(fast_rows, layer.rows(rows, layout)) <= BOUNDS[torch.float64]
    assert len(used) == 2 * group.streams, "the slow twin was not slow"
    layer.plan = "plain"
    assert error(fast, layer(images)) <= BOUNDS[torch.float64]
