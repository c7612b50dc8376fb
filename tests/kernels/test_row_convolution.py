"""The convolution of rows, block by block, against its slow twin: one dense convolution a stretch."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hssl.kernels import row_convolution as module
from hssl.kernels.native.loader import compiled_filters_exist
from hssl.kernels.row_convolution import Form, row_convolution
from hssl.layers.basis import hermite_gauss_functions, support
from laws import BOUNDS, PAPER_SCALES, error, noise

SCALES = (1.0, 1.3, 2.4)  # of 7 points: supports 3, 3 and 7
CHANNELS, OUT, E, K = 3, 2, 3, 7
COUNTS = (2, 3, 1)
# How the stretches are computed.
FORMS: dict[str, tuple[Form, Form, Form]] = {
    "separable": ("separable", "separable", "separable"),
    "dense": ("dense", "dense", "dense"),
    "fourier": ("fourier", "fourier", "fourier"),
    "both": ("separable", "dense", "separable"),
    "all": ("fourier", "separable", "dense"),
}
Convolution = Callable[..., Tensor]


def functions(dtype: torch.dtype = torch.float64) -> Tensor:
    return hermite_gauss_functions(K, E, SCALES).to(dtype)


def rows_of(count: int = 6, size: tuple[int, int] = (9, 9), dtype: torch.dtype = torch.float64) -> Tensor:
    return noise(count, CHANNELS, *size, dtype=dtype)


def mixing_weight(dtype: torch.dtype = torch.float64) -> Tensor:
    return noise(OUT, E, E, CHANNELS, seed=1, dtype=dtype)


def dense_kernels(mix: Tensor, used: Tensor) -> Tensor:
    """sum over n, m of mix[o, n, m, c] times u_n along H times u_m along W: [O, C, S, k, k]."""
    return torch.einsum("onmc,sni,smj->ocsij", mix, used, used)


def fast(
    rows: Tensor,
    mix: Tensor,
    used: Tensor,
    counts: Sequence[int],
    form: Sequence[Form],
    stride: int,
    padding: int,
    rectify: bool = False,
    supports: Sequence[int] | None = None,
) -> Tensor:
    return row_convolution(
        rows,
        used,
        counts,
        supports or [support(one) for one in used],
        form,
        mix=None if set(form) == {"dense"} else mix,
        kernels=dense_kernels(mix, used) if "dense" in form else None,
        stride=stride,
        padding=padding,
        rectify=rectify,
    )


def slow(
    rows: Tensor,
    mix: Tensor,
    used: Tensor,
    counts: Sequence[int],
    form: Sequence[Form],
    stride: int,
    padding: int,
    rectify: bool = False,
) -> Tensor:
    rows = F.relu(rows) if rectify else rows
    stretches = zip(torch.split(rows, list(counts)), dense_kernels(mix, used).unbind(2), strict=True)
    return torch.cat([F.conv2d(part, kernel, stride=stride, padding=padding) for part, kernel in stretches])


def outcome(convolve: Convolution, rows: Tensor, mix: Tensor, *rest: Any, **named: Any) -> list[Tensor]:
    """Output, gradient of the rows, gradient of the weight."""
    rows, mix = rows.detach().requires_grad_(), mix.detach().requires_grad_()
    out = convolve(rows, mix, *rest, **named)
    return [out.detach(), *torch.autograd.grad(out, (rows, mix), noise(*out.shape, seed=2, dtype=out.dtype))]


def errors(measured: list[Tensor], expected: list[Tensor]) -> list[float]:
    return [error(one, other) for one, other in zip(measured, expected, strict=True)]


# The rims are 2, 2 and 0: paddings above, at and below them, and none.
@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("padding", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_it_equals_the_dense_convolution(stride: int, padding: int, form: str, dtype: torch.dtype) -> None:
    for size in ((9, 9), (8, 8), (7, 12), (12, 7)):
        for rectify in (False, True):
            rest = (mixing_weight(dtype), functions(dtype), COUNTS, FORMS[form], stride, padding, rectify)
            measured, expected = (outcome(kind, rows_of(6, size, dtype), *rest) for kind in (fast, slow))
            assert max(errors(measured, expected)) <= BOUNDS[dtype], (size, rectify)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("counts", [(6, 0, 0), (0, 6, 0), (0, 0, 6), (4, 0, 2), (1, 5, 0)], ids=str)
def test_an_empty_stretch_has_no_rows(counts: tuple[int, ...], form: str) -> None:
    arguments = (rows_of(), mixing_weight(), functions(), counts, FORMS[form], 2, 1)
    assert max(errors(outcome(fast, *arguments), outcome(slow, *arguments))) <= 1e-12


@pytest.mark.parametrize("form", FORMS)
def test_no_rows_at_all(form: str) -> None:
    rows, mix = rows_of(0), mixing_weight()
    out, d_rows, d_mix = outcome(fast, rows, mix, functions(), (0, 0, 0), FORMS[form], 2, 1)
    assert (out.shape, d_rows.shape) == ((0, OUT, 3, 3), rows.shape)
    assert torch.equal(d_mix, torch.zeros_like(mix))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("stride", "padding"), [(1, 3), (2, 1)])
@pytest.mark.parametrize("rows_a_block", [1, 2, 3])
def test_blocks_change_no_number(
    rows_a_block: int, stride: int, padding: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stretches of 5, 7 and 1 rows, in whole, even and uneven blocks of at most so many."""
    arguments = (rows_of(13), mixing_weight(), functions(), (5, 7, 1), FORMS[form], stride, padding, True)
    expected = outcome(slow, *arguments)
    blocks: list[list[int]] = []
    stretches = module._stretches

    def cut(*of: Any) -> Iterator[Any]:
        start = 0
        for stretch, count in zip(stretches(*of), (5, 7, 1), strict=True):
            # The limit counts bytes of two kinds of maps, and what a dense kernel weighs: here rows are counted.
            edges = [*range(start, start + count, rows_a_block), start + count]
            stretch.parts = [slice(*pair) for pair in pairwise(edges)]
            blocks.append([part.stop - part.start for part in stretch.parts])
            start += count
            yield stretch

    monkeypatch.setattr(module, "_stretches", cut)
    assert max(errors(outcome(fast, *arguments), expected)) <= 1e-12
    assert len(blocks) == 2 * 3
    assert max(map(max, blocks)) == rows_a_block
    assert [len(parts) for parts in blocks[:3]] == [-(-count // rows_a_block) for count in (5, 7, 1)]


@pytest.mark.parametrize("limit", [1, 5000, 20_000, 10**9])
@pytest.mark.parametrize("form", FORMS)
def test_blocks_hold_every_row_once_and_stay_below_the_limit(
    form: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", {"cpu": limit})
    monkeypatch.setattr(module, "_FOURIER_BLOCK_BYTES", {"cpu": limit})
    rows, counts = rows_of(20), (5, 14, 1)
    used = functions()
    supports = [support(one) for one in used]
    numbers = [module._FORMS.index(one) for one in FORMS[form]]
    settings = module.Settings(counts, supports, numbers, 2, 3, False)
    stretches = list(module._stretches(rows, used, settings, torch.empty(20, OUT, 5, 5)))
    covered = [index for stretch in stretches for part in stretch.parts for index in range(20)[part]]
    assert covered == list(range(20))
    for stretch, kind, points in zip(stretches, FORMS[form], supports, strict=True):
        # Along W a circle of 9 pixels and the padding that is left of 3; one product or three for a frequency.
        length = 9 + max(0, 3 - (K - points) // 2)
        products = (3 * length - 1) // 2
        # Numbers that a row is made into: rows, filtered maps (all at once where filters are compiled, else those of
        # one axis), or spectra and products. And the numbers of a weight that a block is not to be small beside.
        made, weights = {
            "dense": (CHANNELS * 9 * 9, 4 * points**2),
            "separable": (CHANNELS * (E**2 * 5 * 5 if compiled_filters_exist(rows) else E * 9 * 5), 2 * E**2),
            "fourier": (products * 5 * (E * CHANNELS + OUT), 2 * products * E),
        }[kind]
        bytes_a_row = 8 * made
        most = max(limit, 8 * OUT * CHANNELS * weights)
        sizes = [part.stop - part.start for part in stretch.parts]
        assert max(sizes) - min(sizes) <= 1
        assert (max(sizes) - 1) * bytes_a_row < most
    # As few blocks as the limit allows.
    assert limit < 10**9 or [len(stretch.parts) for stretch in stretches] == [1, 1, 1]


def channels_last(rows: Tensor) -> Tensor:
    return rows.contiguous(memory_format=torch.channels_last)


def every_other(rows: Tensor) -> Tensor:
    wide = torch.zeros(*rows.shape[:-1], 2 * rows.shape[-1], dtype=rows.dtype)
    wide[..., ::2] = rows
    return wide[..., ::2]


def columns_first(rows: Tensor) -> Tensor:
    return rows.transpose(2, 3).contiguous().mT


@pytest.mark.parametrize("given", [channels_last, every_other, columns_first])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("padding", [1, 3])
def test_the_layout_in_memory_changes_no_number(padding: int, form: str, given: Callable[[Tensor], Tensor]) -> None:
    rows = rows_of()
    rest = (mixing_weight(), functions(), COUNTS, FORMS[form], 2, padding)
    other = given(rows)
    assert other.stride() != rows.stride()
    assert torch.equal(other, rows)
    measured = outcome(fast, other, *rest)
    assert max(errors(measured, outcome(slow, rows, *rest))) <= 1e-12
    assert measured[0].is_contiguous(memory_format=torch.channels_last)
    gradient = given(noise(*measured[0].shape, seed=2))
    out = fast(rows.requires_grad_(), *rest)
    (d_rows,) = torch.autograd.grad(out, rows, gradient)
    assert error(d_rows, measured[1]) <= 1e-12


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_finite_differences(form: str, rectify: bool) -> None:
    def function(rows: Tensor, mix: Tensor) -> Tensor:
        return fast(rows, mix, functions(), (1, 0, 1), FORMS[form], 2, 1, rectify)

    rows, mix = noise(2, 1, 7, 7), mixing_weight()[:1, :, :, :1].contiguous()
    rows = torch.where(rows.abs() < 0.05, torch.ones_like(rows), rows)  # finite differences must not cross the kink
    assert torch.autograd.gradcheck(function, (rows.requires_grad_(), mix.requires_grad_()))


def test_a_rectified_zero_has_no_gradient() -> None:
    """As torch's own ReLU has none there."""
    rest = (mixing_weight(), functions(), COUNTS, FORMS["both"], 1, 3, True)
    rows = rows_of().clamp(min=0) * torch.tensor([0.0, 1.0]).repeat(CHANNELS * 3 * 9 * 9).reshape(6, CHANNELS, 9, 9)
    measured, expected = outcome(fast, rows, *rest), outcome(slow, rows, *rest)
    assert max(errors(measured, expected)) <= 1e-12
    assert not measured[1][rows == 0].any()


@pytest.mark.parametrize("form", FORMS)
def test_only_what_asks_for_a_gradient_gets_one(form: str) -> None:
    rows, mix = rows_of(), mixing_weight()
    for of_rows, of_mix in ((True, False), (False, True)):
        inputs = rows.clone().requires_grad_(of_rows), mix.clone().requires_grad_(of_mix)
        fast(*inputs, functions(), COUNTS, FORMS[form], 1, 3).sum().backward()
        assert [one.grad is not None for one in inputs] == [of_rows, of_mix]


def test_nothing_is_written_to_what_is_given() -> None:
    rows, mix, used = rows_of(), mixing_weight(), functions()
    before = [one.clone() for one in (rows, mix, used)]
    outcome(fast, rows, mix, used, COUNTS, FORMS["both"], 1, 3, True)
    assert all(torch.equal(one, other) for one, other in zip(before, (rows, mix, used), strict=True))


@pytest.mark.parametrize("rectify", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_the_operator_keeps_what_it_registered(form: str, rectify: bool) -> None:
    """Schema, fake tensors with their strides, autograd and compilation, as PyTorch itself checks them."""
    used = functions(torch.float32)
    rows = rows_of(dtype=torch.float32).requires_grad_()
    # As a layer makes them: views of its weight, with the channels before the functions, and of dense filters.
    mix = noise(OUT, CHANNELS, E, E, dtype=torch.float32).permute(0, 3, 2, 1)
    kernels = dense_kernels(mix, used).requires_grad_()
    empty = torch.empty(0)
    forms = FORMS[form]
    operands = (
        rows, used, mix.requires_grad_() if set(forms) != {"dense"} else empty, kernels if "dense" in forms else empty
    )  # fmt: skip
    indices = [module._FORMS.index(one) for one in forms]
    settings = module.Settings(COUNTS, [support(one) for one in used], indices, 2, 1, rectify).packed()
    result = torch.library.opcheck(torch.ops.hssl.row_convolution, (*operands, settings))
    assert set(result.values()) == {"SUCCESS"}
    gradient = noise(6, OUT, 3, 3, dtype=torch.float32)
    plain = [one.detach() for one in operands]
    for wants_rows in (True, False):
        arguments = (gradient, *plain, settings, wants_rows)
        result = torch.library.opcheck(torch.ops.hssl.row_convolution_backward, arguments)
        assert set(result.values()) == {"SUCCESS"}


# -- controls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_a_support_one_ring_too_small_is_seen(form: str) -> None:
    arguments = (rows_of(), mixing_weight(), functions(), COUNTS, FORMS[form], 1, 3)
    expected, right = outcome(slow, *arguments), [3, 3, 7]
    assert [support(one) for one in functions()] == right
    for index in range(3):
        wrong = [points - 2 * (stretch == index) for stretch, points in enumerate(right)]
        assert min(errors(outcome(fast, *arguments, supports=wrong), expected)) > 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_a_support_too_large_costs_time_and_nothing_else(form: str) -> None:
    arguments = (rows_of(), mixing_weight(), functions(), COUNTS, FORMS[form], 2, 1)
    expected = outcome(slow, *arguments)
    assert max(errors(outcome(fast, *arguments, supports=[7, 5, 7]), expected)) <= 1e-12


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("wrong", ["functions of the stretches", "degrees", "rows and columns"])
def test_swapped_factors_are_seen(wrong: str, form: str) -> None:
    def swapped(rows: Tensor, mix: Tensor, used: Tensor, *rest: Any) -> Tensor:
        if wrong == "rows and columns":
            return fast(rows, mix.transpose(1, 2), used, *rest)
        return fast(rows, mix, used.flip(0 if wrong.startswith("functions") else 1), *rest)

    arguments = (rows_of(), mixing_weight(), functions(), (3, 0, 3), FORMS[form], 1, 3)
    assert min(errors(outcome(swapped, *arguments), outcome(slow, *arguments))) > 1e-2


@pytest.mark.parametrize("form", FORMS)
def test_exchanged_stretches_and_a_forgotten_relu_are_seen(form: str) -> None:
    arguments = (rows_of(), mixing_weight(), functions(), (1, 2, 3), FORMS[form], 1, 3)
    out = slow(*arguments)
    assert error(fast(*arguments), out) <= 1e-12
    assert error(fast(*arguments, True), out) > 1e-2
    exchanged = (*arguments[:3], (2, 1, 3), *arguments[4:])
    assert error(fast(*exchanged), out) > 1e-2


def test_support_counts_the_points_about_the_centre() -> None:
    assert support(torch.tensor([[0.0, 0, 1, 0, 0]])) == 1
    assert support(torch.tensor([[0.0, 0, 1, 0, 0], [0, 1, 0, -1, 0]])) == 3
    assert support(torch.zeros(2, 5)) == 1
    paper = hermite_gauss_functions(7, 3, PAPER_SCALES)
    assert [support(one) for one in paper] == [5 if scale < 1.5 else 7 for scale in PAPER_SCALES]
