"""Lifting and group convolution: a weight over basis functions, and filters made anew from it in each forward.

Filters are stateless: nothing is cached, so the state_dict is the weight in both modes, and deep copies, teachers and
checkpoints cannot go stale. `materialize()` gives a plain convolution where that is wanted.

A layer computes features [B, C, G, H, W] (`forward`) or rows [R, C, H, W] that lie stream after stream (`rows`). The
plan says how: `plain` is the definition, dense kernels of all streams and one grouped convolution; the others
(`hssl.kernels.plan`) give the same numbers faster.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hssl.errors import ConfigurationError, SizeError
from hssl.groups import Exactness, Group, GroupFeatures, RowLayout
from hssl.groups.features import Maps
from hssl.kernels.convolution import StreamConvolution, apart_is_faster
from hssl.kernels.plan import PlanChoice
from hssl.layers.basis import (
    BasisKind,
    basis_on,
    hermite_gauss_basis,
    hermite_gauss_functions,
    support,
)
from hssl.layers.plain import PlainConv2d, pad_circular
from hssl.layers.sizes import SpatialStep

# Asked once: the question cannot be compiled into a graph by every version of torch.
_WITH_AUTOCAST = {kind for kind in ("cpu", "cuda", "xpu", "mps") if torch.amp.is_autocast_available(kind)}


class SteerableConv2d(nn.Module):
    """Base of the layers whose filters are sums of basis functions. See `LiftingConv2d` and `GroupConv2d`.

    A subclass with `kernels` of its own is computed by the plain formulation: the other plans know the basis alone.

    Attributes:
        plan: how the layer is computed: `auto` (by the cost model), `measured`, or the name of a plan.
    """

    weight: nn.Parameter
    plan: PlanChoice = "auto"
    lifts: ClassVar[bool] = False
    """Whether it takes images, which all streams read."""
    extent: int = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        effective_size: int,
        group: Group,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
        basis: BasisKind = "sesn",
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("in_channels", in_channels, 1),
            ("out_channels", out_channels, 1),
            ("stride", stride, 1),
            ("padding", padding, 0),
        ):
            if value < least:
                raise ConfigurationError(f"{name} of a convolution is at least {least}", got=value)
        if group.exactness is Exactness.NONE:
            raise ConfigurationError(
                f"steerable filters have no copies along {group}: it is a group in name only",
                hint="use plain convolutions, as hssl.backbones.PlainThreeLayer does",
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.effective_size = kernel_size, effective_size
        self.group, self.stride, self.padding, self.basis = group, stride, padding, basis
        filters = hermite_gauss_basis(*self._functions)
        grown = filters.shape[-1]
        # Whether the filters of stream i are the basis at scale i, neither turned nor mirrored.
        self._aligned = filters.shape[1] == group.streams and torch.equal(group.orient(filters), filters)
        # Points about the centre of each stream's filters that are not zero.
        self._supports = [support(one) for one in hermite_gauss_functions(*self._functions)]
        if not self._aligned:
            self._supports = (self._supports if len(self._supports) == 1 else [grown]) * group.streams
        # A kernel that outgrew its nominal size keeps the layer's output size through more padding.
        self._full_kernel_size = grown
        self._full_padding = padding + (grown - kernel_size) // 2
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self._extents, effective_size**2))
        self.reset_parameters()

    @property
    def _extents(self) -> tuple[int, ...]:
        """Axes of the weight along the group."""
        return ()

    def reset_parameters(self) -> None:
        """The original layers' default: uniform in +- 1/sqrt(fan_in), counted in basis functions; biases zero."""
        fan_in = self.weight[0].numel()
        nn.init.uniform_(self.weight, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def spatial_step(self, name: str, beside: bool = False) -> SpatialStep:
        """What this layer does to the size of a map, with the kernel as it is, grown or not."""
        return SpatialStep(name, self._full_kernel_size, self.stride, self._full_padding, beside)

    # -- the filters -------------------------------------------------------------------------------------------------

    def kernels(self) -> Tensor:
        """The dense filters, a copy for each stream."""
        raise NotImplementedError

    def _dense_kernels(self) -> tuple[Tensor, int]:
        """The kernels of all streams as one convolution has them, and its groups."""
        kernels = self.kernels()
        if self.extent > 1:
            kernels = kernels.permute(0, 3, 1, 2, 4, 5).flatten(1, 2)  # [O, G (in) C, G (out), k, k]
        groups = 1 if self.lifts or self.extent > 1 else self.group.streams
        return kernels.permute(2, 0, 1, 3, 4).flatten(0, 1), groups

    @property
    def plannable(self) -> bool:
        """Whether there are other plans than the plain one: streams do not mix and `kernels` is that of the basis."""
        return self.extent == 1 and type(self).kernels in (LiftingConv2d.kernels, GroupConv2d.kernels)

    @property
    def _functions(self) -> tuple[int, int, tuple[float, ...], BasisKind]:
        """Which functions the filters are sums of."""
        return self.kernel_size, self.effective_size, self.group.filter_scales, self.basis

    def _combine(self, weight: Tensor) -> Tensor:
        """sum_f w[..., f] psi_{s,f}: [..., e^2] -> [..., S, k, k]."""
        basis = basis_on(2, *self._functions, weight.dtype, weight.device)
        return (weight @ basis.flatten(1)).reshape(*weight.shape[:-1], *basis.shape[1:])

    # -- features and rows -------------------------------------------------------------------------------------------

    def forward(self, values: Maps) -> Maps:
        """Features, or a tensor [B, C, G, H, W], of a lifting [B, C, H, W] -> [B, O, G, H', W']."""
        if isinstance(values, GroupFeatures):
            rows = self.rows(values.rows, values.layout, values.waiting) if values.has_rows else self(values.settled)
            return values.replaced(rows, self.stride)
        streams = self.group.streams
        axes = (self.in_channels,) if self.lifts else (self.in_channels, streams)
        if values.ndim != 3 + len(axes) or values.shape[1:-2] != axes:
            raise SizeError(
                f"{self} takes {'images' if self.lifts else 'features'} "
                f"[batch, {', '.join(map(str, axes))}, height, width]",
                got=f"a tensor of shape {tuple(values.shape)}",
            )
        if self.computes_plainly(values):
            out = self._reference(values if self.lifts else values.transpose(1, 2).flatten(0, 1))
            return out.reshape(len(values), streams, *out.shape[1:]).transpose(1, 2)
        by_stream = values.expand(streams, *values.shape) if self.lifts else values.permute(2, 0, 1, 3, 4)
        return self._by_stream(by_stream).permute(1, 2, 0, 3, 4)

    def computes_plainly(self, values: Tensor) -> bool:
        """Whether these are computed by the plain formulation, one dense convolution for all streams."""
        return self.plan == "plain" or not self.plannable

    def rows(self, values: Tensor, layout: RowLayout, rectify: bool = False) -> Tensor:
        """The convolution on rows: [R, C, H, W] -> [R, O, H', W'], each row with the filters of its stream.

        Args:
            values: the rows; in the plain formulation image after image.
            layout: which stream each row is.
            rectify: apply ReLU to the rows first, which costs less here than before.

        Raises:
            SizeError: rows that their layout does not describe, or a map smaller than the kernel.
        """
        if layout.interleaved:
            return self._reference(F.relu(values) if rectify else values)
        if len(layout.counts) not in (1, self.group.streams) or len(values) != layout.total:
            raise SizeError(
                f"{self} was given rows that their layout does not describe",
                got=f"{len(values)} rows with counts {layout.counts}",
                expected=f"counts of {self.group.streams} streams, or of one that serves all",
            )
        if values.device != self.weight.device:
            raise SizeError(
                f"{self} and its rows are on different devices",
                got=f"rows on {values.device}, the weight on {self.weight.device}",
                hint="move one of them: layer.to(device) or rows.to(device)",
            )
        dtype = _working_dtype(values)
        # Filters are made in the precision of the weight and rounded once, whatever the autocast outside.
        with _own_precision(values.device.type):
            values, padding = self._padded(values.to(dtype))
            return self._with_bias(self._filters(values, layout, padding)(values, self.plan, rectify))

    def _filters(self, values: Tensor, layout: RowLayout, padding: int) -> StreamConvolution:
        """The filters of rows of a layout, of which each plan makes what it needs."""
        streams = len(layout.counts)
        functions = basis_on(1, *self._functions, values.dtype, values.device)
        return StreamConvolution(
            functions[:streams] if self._aligned else functions[:1].expand(streams, -1, -1),
            self._supports[:streams],
            layout.counts,
            self._mixing_weight,
            self.kernels if streams == self.group.streams else self._first_kernels,
            out_channels=self.out_channels,
            stride=self.stride,
            padding=padding,
            separable=self._aligned or (streams == 1 and len(self.group.filter_scales) == 1),
        )

    def _by_stream(self, values: Tensor) -> Tensor:
        """Whole features, streams first: [G, B, C, H, W] -> [G, B, O, H', W']."""
        streams, batch = values.shape[:2]
        group = self.group
        if group.folds and self._turns_exactly(values.shape[-2], values.shape[-1]):
            # Moved back, every stream sees the first stream's filters: one batch.
            rows = torch.cat([group.move_maps(values[g], group.inverse(g)) for g in range(streams)])
            out = self.rows(rows, RowLayout((len(rows),)))
            return torch.stack([group.move_maps(out[g * batch : (g + 1) * batch], g) for g in range(streams)])
        out = self.rows(values.flatten(0, 1), RowLayout((batch,) * streams))
        return out.reshape(streams, batch, *out.shape[1:])

    def _turns_exactly(self, height: int, width: int) -> bool:
        """Whether a quarter turn commutes with the layer, as `hssl.layers.sizes` explains."""
        return height == width and (height + 2 * self._full_padding - self._full_kernel_size) % self.stride == 0

    def _first_kernels(self) -> Tensor:
        """The first stream's dense filters [O, C, 1, k, k], which serve all streams that were moved."""
        return self._combine(self.weight.flatten(2))[:, :, :1]

    def _mixing_weight(self) -> Tensor:
        """[O, C, e^2] with f = m e + n -> [O, n, m, C], n along H."""
        e = self.effective_size
        return self.weight.reshape(self.out_channels, self.in_channels, e, e).permute(0, 3, 2, 1)

    # -- the plain formulation ---------------------------------------------------------------------------------------

    def _reference(self, values: Tensor) -> Tensor:
        """Rows image after image with all streams of each, or images to lift -> [B*G, O, H', W'], image after image."""
        dtype = _working_dtype(values)
        with _own_precision(values.device.type):
            kernels, groups = self._dense_kernels()
            blocks = values.reshape(-1, kernels.shape[1] * groups, *values.shape[2:])
            blocks, padding = self._padded(blocks.to(dtype))
            out = F.conv2d(blocks, kernels.to(dtype), stride=self.stride, padding=padding, groups=groups)
            return self._with_bias(out.reshape(len(out) * self.group.streams, self.out_channels, *out.shape[2:]))

    def _with_bias(self, out: Tensor) -> Tensor:
        return out if self.bias is None else out + self.bias.to(out.dtype).reshape(-1, 1, 1)

    def _padded(self, values: Tensor) -> tuple[Tensor, int]:
        """Values padded where padding is circular, and the padding that is left to the convolution."""
        padding = self._full_padding
        if min(values.shape[-2:]) + 2 * padding < self._full_kernel_size:
            raise SizeError(
                f"{self} has a kernel larger than its padded input",
                got=f"a map of {values.shape[-2]} x {values.shape[-1]} pixels, padded by {padding}",
                expected=f"at least {max(1, self._full_kernel_size - 2 * padding)} pixels",
            )
        return (pad_circular(values, padding), 0) if self.group.circular and padding else (values, padding)

    def materialize(self) -> PlainConv2d:
        """A plain convolution with the same output, no longer steerable."""
        kernels, groups = self._dense_kernels()
        padding, circular = self._full_padding, self.group.circular
        return PlainConv2d.of(kernels, self.bias, self.group.streams, groups, self.stride, padding, circular)

    def _settings(self) -> str:
        parts = [f"{self.group}", f"k={self.kernel_size}", f"e={self.effective_size}"]
        parts += [f"stride={self.stride}"] if self.stride != 1 else []
        parts += [f"padding={self.padding}"] if self.padding else []
        parts += [f"basis={self.basis}"] if self.basis != "sesn" else []
        parts += ["bias"] if self.bias is not None else []
        return ", ".join(parts)


class LiftingConv2d(SteerableConv2d):
    """z_g = sum_c x_c (cross-correlated with) T_g psi_c, where psi_c = sum_f w[o, c, f] psi_f.

    Appendix C, equation 4, at l = 0; Sosnovik et al. 2020 for scales. Images [B, C, H, W] -> features [B, O, G, H',
    W'].

    Args:
        in_channels, out_channels: C and O.
        kernel_size, effective_size: k (odd) and e of the basis; `weight` is [O, C, e^2].
        group: decides the copies of the filter along the group axis, and the kind of padding.
        stride, padding, bias: as in `torch.nn.Conv2d`; the bias is shared over the group.
        basis: `sesn` or `untruncated`, see `hermite_gauss_basis`.

    Raises:
        ConfigurationError: kernel and scales that leave a basis function without points.
    """

    lifts: ClassVar[bool] = True

    def kernels(self) -> Tensor:
        """The dense filters, one copy a stream: [O, C, G, k, k]."""
        return self.group.orient(self._combine(self.weight))

    def computes_plainly(self, values: Tensor) -> bool:
        if self.plan not in ("auto", "measured") or not self.plannable:
            return super().computes_plainly(values)
        size, cropped = self._full_kernel_size, min(self._supports) < self._full_kernel_size
        return not apart_is_faster(values, self.out_channels, size, aligned=self._aligned, cropped=cropped)

    def __repr__(self) -> str:
        return f"LiftingConv2d({self.in_channels} -> {self.out_channels} x {self.group.streams}, {self._settings()})"


class GroupConv2d(SteerableConv2d):
    """z'_g = sum_{h, c} z_{c,h} (cross-correlated with) T_g psi_c[g^-1 h] (appendix C, equation 4).

    With extent 1, the paper's, only h = g contributes: streams never mix. With the full extent of a closed group the
    filter is shifted along the group axis AND turned (Cohen and Welling 2016). Features [B, C, G, H, W] -> [B, O, G,
    H', W'].

    Args:
        in_channels, out_channels: C and O.
        kernel_size, effective_size: k (odd) and e of the basis; `weight` is [O, C, extent, e^2].
        group: the group of the features.
        stride, padding, bias, basis: as in `LiftingConv2d`.
        extent: 1, or the order of a closed group.

    Raises:
        ConfigurationError: an extent that the group cannot have.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        effective_size: int,
        group: Group,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
        basis: BasisKind = "sesn",
        extent: int = 1,
    ) -> None:
        turning = group.filter_group.turns and group.filter_group.closed
        if extent != 1 and not (group.streams == extent and turning):
            raise ConfigurationError(
                f"a group convolution over {group} cannot have an extent of {extent}",
                expected=f"1{f' or {group.streams}' if turning else ''}",
                hint="an extent above 1 needs a closed group: shifting along sampled scales is no group action",
            )
        self.extent = extent
        super().__init__(in_channels, out_channels, kernel_size, effective_size, group, stride, padding, bias, basis)

    @property
    def _extents(self) -> tuple[int, ...]:
        return (self.extent,)

    def kernels(self) -> Tensor:
        """The dense filters: [O, C, G, k, k] with extent 1, else [O, C, G (out), G (in), k, k]."""
        if self.extent == 1:
            return self.group.orient(self._combine(self.weight[:, :, 0]))
        turned = self.group.orient(self._combine(self.weight))  # [O, C, extent, G, k, k]
        # Output stream g reads input stream h through the filter slice g^-1 h, turned by g.
        group = self.group.filter_group
        streams = torch.arange(group.order, device="cpu")
        rows = [turned[:, :, group.act(group.inverse(g), streams).to(turned.device), g] for g in range(group.order)]
        return torch.stack(rows, dim=2)

    def __repr__(self) -> str:
        streams = self.group.streams
        settings = self._settings() + (f", extent={self.extent}" if self.extent != 1 else "")
        return f"GroupConv2d({self.in_channels} x {streams} -> {self.out_channels} x {streams}, {settings})"


def _own_precision(device_type: str) -> AbstractContextManager[None]:
    """Autocast off, on devices that know of it."""
    return torch.autocast(device_type, enabled=False) if device_type in _WITH_AUTOCAST else nullcontext()


def _working_dtype(values: Tensor) -> torch.dtype:
    """What a convolution computes in: autocast's type for float32 inside autocast, else the values' own."""
    kind = values.device.type
    if kind in _WITH_AUTOCAST and torch.is_autocast_enabled(kind) and values.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    return values.dtype
