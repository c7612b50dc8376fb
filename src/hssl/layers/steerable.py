"""What lifting and group convolution share: a weight over basis functions, and filters made anew from it in each
forward.

Filters are stateless: nothing is cached, so the state_dict is the weight in both modes, and deep copies, teachers and
checkpoints cannot go stale. `materialize()` gives a plain convolution where that is wanted.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hssl.errors import ConfigurationError, SizeError
from hssl.groups import Exactness, Group
from hssl.layers.basis import BasisKind, basis_on, hermite_gauss_basis
from hssl.layers.plain import PlainConv2d, pad_circular
from hssl.layers.sizes import SpatialStep


class SteerableConv2d(nn.Module):
    """Base of the layers whose filters are sums of basis functions. See `LiftingConv2d` and `GroupConv2d`."""

    weight: nn.Parameter

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        effective_size: int,
        group: Group,
        stride: int,
        padding: int,
        bias: bool,
        basis: BasisKind,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("in_channels", in_channels, 1),
            ("out_channels", out_channels, 1),
            ("stride", stride, 1),
            ("padding", padding, 0),
        ):
            if value < least:
                raise ConfigurationError(f"{name} of a convolution is at least {least}", arrived=value)
        if group.exactness is Exactness.NONE:
            raise ConfigurationError(
                f"steerable filters have no copies along {group}: it is a group in name only",
                remedy="use plain convolutions, as hssl.backbones.PlainThreeLayer does",
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.effective_size = kernel_size, effective_size
        self.group, self.stride, self.padding, self.basis = group, stride, padding, basis
        grown = hermite_gauss_basis(kernel_size, effective_size, group.filter_scales, basis).shape[-1]
        # A kernel that outgrew its nominal size keeps the layer's output size through more padding.
        self._full_kernel_size = grown
        self._full_padding = padding + (grown - kernel_size) // 2
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def reset_parameters(self) -> None:
        """The original layers' default: uniform in +- 1/sqrt(fan_in), counted in basis functions; biases zero."""
        fan_in = self.weight[0].numel()
        nn.init.uniform_(self.weight, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def spatial_step(self, name: str, beside: bool = False) -> SpatialStep:
        """What this layer does to the size of a map, with the kernel as it is, grown or not."""
        return SpatialStep(name, self._full_kernel_size, self.stride, self._full_padding, beside)

    def _combine(self, weight: Tensor) -> Tensor:
        """sum_f w[..., f] psi_{s,f}: [..., e^2] -> [..., S, k, k]."""
        basis = basis_on(
            self.kernel_size, self.effective_size, self.group.filter_scales, self.basis, weight.dtype, weight.device
        )
        return (weight @ basis.flatten(1)).reshape(*weight.shape[:-1], *basis.shape[1:])

    def _convolve(self, values: Tensor, dense: Tensor, groups: int) -> Tensor:
        """Channels in blocks of streams -> [B, O, G, H', W']."""
        padding = self._full_padding
        if min(values.shape[-2:]) + 2 * padding < dense.shape[-1]:
            raise SizeError(
                f"{self} has a kernel larger than its padded input",
                arrived=f"a map of {values.shape[-2]} x {values.shape[-1]} pixels, padded by {padding}",
                accepted=f"at least {max(1, dense.shape[-1] - 2 * padding)} pixels",
            )
        if self.group.circular and padding:
            values, padding = pad_circular(values, padding), 0
        out = F.conv2d(values, dense, stride=self.stride, padding=padding, groups=groups)
        features = out.reshape(len(out), self.group.streams, self.out_channels, *out.shape[2:]).transpose(1, 2)
        return features if self.bias is None else features + self.bias.reshape(-1, 1, 1, 1)

    def _plain(self, dense: Tensor, groups: int) -> PlainConv2d:
        circular = self._full_padding if self.group.circular else 0
        conv = nn.Conv2d(
            dense.shape[1] * groups,
            dense.shape[0],
            dense.shape[-1],
            stride=self.stride,
            padding=0 if circular else self._full_padding,
            groups=groups,
            bias=self.bias is not None,
            device=dense.device,
            dtype=dense.dtype,
        )
        with torch.no_grad():
            conv.weight.copy_(dense)
            if self.bias is not None and conv.bias is not None:
                conv.bias.copy_(self.bias.repeat(self.group.streams))
        return PlainConv2d(conv, self.group.streams, circular)

    def _settings(self) -> str:
        parts = [f"{self.group}", f"k={self.kernel_size}", f"e={self.effective_size}"]
        parts += [f"stride={self.stride}"] if self.stride != 1 else []
        parts += [f"padding={self.padding}"] if self.padding else []
        parts += [f"basis={self.basis}"] if self.basis != "sesn" else []
        parts += ["bias"] if self.bias is not None else []
        return ", ".join(parts)
