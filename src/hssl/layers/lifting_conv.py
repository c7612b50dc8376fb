"""Lifting convolution: from images to group features, Z2 -> G x Z2."""

from __future__ import annotations

from typing import overload

import torch
from torch import Tensor, nn

from hssl.errors import SizeError
from hssl.groups import Group, GroupFeatures
from hssl.kernels.convolution import streams_pay
from hssl.layers.basis import BasisKind
from hssl.layers.plain import PlainConv2d
from hssl.layers.steerable import SteerableConv2d


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
        super().__init__(in_channels, out_channels, kernel_size, effective_size, group, stride, padding, bias, basis)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, effective_size**2))
        self.reset_parameters()

    def kernels(self) -> Tensor:
        """The dense filters, one copy a stream: [O, C, G, k, k]."""
        return self.group.orient(self._combine(self.weight))

    def _basis_weight(self) -> Tensor:
        return self.weight

    @property
    def plannable(self) -> bool:
        return type(self).kernels is LiftingConv2d.kernels

    def _dense_kernels(self) -> Tensor:
        return self.kernels().permute(2, 0, 1, 3, 4).flatten(0, 1)

    @overload
    def forward(self, images: Tensor) -> Tensor: ...
    @overload
    def forward(self, images: GroupFeatures) -> GroupFeatures: ...
    def forward(self, images: Tensor | GroupFeatures) -> Tensor | GroupFeatures:
        """Images as `GroupFeatures.of_images`, or a tensor [B, C, H, W] -> [B, O, G, H', W']."""
        if isinstance(images, GroupFeatures):
            return self._of_features(images)
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise SizeError(
                f"{self} takes images [batch, {self.in_channels}, height, width]",
                got=f"a tensor of shape {tuple(images.shape)}",
            )
        if self.computes_plainly(images):
            out = self._plain_rows(images)
            return out.reshape(len(images), self.group.streams, *out.shape[1:]).transpose(1, 2)
        return self._by_stream(images.expand(self.group.streams, *images.shape)).permute(1, 2, 0, 3, 4)

    def computes_plainly(self, images: Tensor) -> bool:
        """Whether these images are lifted by the plain formulation, one dense convolution for all streams."""
        if self.plan == "plain" or not self.plannable:
            return True
        if self.plan not in ("auto", "measured"):
            return False
        size, cropped = self._full_kernel_size, min(self._supports) < self._full_kernel_size
        return not streams_pay(images, self.out_channels, size, aligned=self._aligned, cropped=cropped)

    def _plain_rows(self, values: Tensor) -> Tensor:
        return self._convolve(values, groups=1)

    def materialize(self) -> PlainConv2d:
        """A plain convolution with the same output, no longer steerable."""
        return self._plain(self._dense_kernels(), groups=1)

    def __repr__(self) -> str:
        return f"LiftingConv2d({self.in_channels} -> {self.out_channels} x {self.group.streams}, {self._settings()})"
