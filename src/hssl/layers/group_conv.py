"""Group convolution: from group features to group features, G x Z2 -> G x Z2."""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor, nn

from hssl.errors import ConfigurationError, SizeError
from hssl.groups import Group, GroupFeatures
from hssl.layers.basis import BasisKind
from hssl.layers.plain import PlainConv2d
from hssl.layers.steerable import SteerableConv2d


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
        super().__init__(in_channels, out_channels, kernel_size, effective_size, group, stride, padding, bias, basis)
        turning = group.filter_group.turns and group.filter_group.closed
        if extent != 1 and not (group.streams == extent and turning):
            raise ConfigurationError(
                f"a group convolution over {group} cannot have an extent of {extent}",
                expected=f"1{f' or {group.streams}' if turning else ''}",
                hint="an extent above 1 needs a closed group: shifting along sampled scales is no group action",
            )
        self.extent = extent
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, extent, effective_size**2))
        self.reset_parameters()

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

    def _basis_weight(self) -> Tensor:
        return self.weight[:, :, 0]

    @property
    def plannable(self) -> bool:
        return self.extent == 1 and type(self).kernels is GroupConv2d.kernels

    def _dense_kernels(self) -> Tensor:
        kernels = self.kernels()
        if self.extent == 1:
            return kernels.permute(2, 0, 1, 3, 4).flatten(0, 1)
        return kernels.permute(2, 0, 3, 1, 4, 5).flatten(2, 3).flatten(0, 1)

    @property
    def _groups(self) -> int:
        return self.group.streams if self.extent == 1 else 1

    @overload
    def forward(self, values: Tensor) -> Tensor: ...
    @overload
    def forward(self, values: GroupFeatures) -> GroupFeatures: ...
    def forward(self, values: Tensor | GroupFeatures) -> Tensor | GroupFeatures:
        """Features, or a tensor [B, C, G, H, W] -> [B, O, G, H', W']."""
        if isinstance(values, GroupFeatures):
            return self._of_features(values) if values.has_rows else values.replaced(self(values.settled), self.stride)
        streams = self.group.streams
        if values.ndim != 5 or values.shape[1] != self.in_channels or values.shape[2] != streams:
            raise SizeError(
                f"{self} takes features [batch, {self.in_channels}, {streams}, height, width]",
                got=f"a tensor of shape {tuple(values.shape)}",
            )
        if self.plan == "plain" or not self.plannable:
            out = self._plain_rows(values.transpose(1, 2).flatten(0, 1))
            return out.reshape(len(values), streams, *out.shape[1:]).transpose(1, 2)
        out = self._by_stream(values.permute(2, 0, 1, 3, 4))
        return out.permute(1, 2, 0, 3, 4)

    def _plain_rows(self, values: Tensor) -> Tensor:
        blocks = values.reshape(-1, self.group.streams * self.in_channels, *values.shape[2:])
        return self._convolve(blocks, self._groups)

    def materialize(self) -> PlainConv2d:
        """A plain convolution with the same output, no longer steerable."""
        return self._plain(self._dense_kernels(), self._groups)

    def __repr__(self) -> str:
        streams = self.group.streams
        settings = self._settings() + (f", extent={self.extent}" if self.extent != 1 else "")
        return f"GroupConv2d({self.in_channels} x {streams} -> {self.out_channels} x {streams}, {settings})"
