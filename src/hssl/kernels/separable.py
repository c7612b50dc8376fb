"""One-dimensional filters: a steerable convolution along W, then along H, then as one matrix over channels.

A filter of effective size e is a sum of e^2 products of one-dimensional functions, so a convolution is e filterings
along W, e filterings of each of those along H, and a 1x1 convolution of the e^2 C channels that come out: e^2 / k^2 of
the multiplications of a dense k x k kernel, for any number of scales with one and the same 1x1 weight.

Maps are channels-last: depthwise and 1x1 convolutions run at the speed of memory and of matrix products there.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_LAST = torch.channels_last


class SeparableFilters:
    """The one-dimensional filters of one stream, as depthwise kernels; n counts along H, m along W.

    `hssl.kernels.compiled_filters` does the same in one pass where it can.

    Args:
        functions: [e, k].
        channels: C of the maps that are filtered.
        stride, padding: of the k x k convolution.
    """

    def __init__(self, functions: Tensor, channels: int, stride: int, padding: int) -> None:
        e, size = functions.shape
        self.channels, self.stride, self.padding = channels, stride, padding
        self._w = [one.reshape(1, 1, 1, size).repeat(channels, 1, 1, 1) for one in functions]
        self._h = [one.reshape(1, 1, size, 1).repeat(e * channels, 1, 1, 1) for one in functions]

    @staticmethod
    def arrange(mix: Tensor) -> Tensor:
        """[O, n, m, C] -> a 1x1 kernel [O, e^2 C, 1, 1], channels-last."""
        kernel = torch.empty((len(mix), mix[0].numel(), 1, 1), dtype=mix.dtype, device=mix.device, memory_format=_LAST)
        return kernel.copy_(mix.flatten(1)[..., None, None])

    @staticmethod
    def gather(weights: Tensor, shape: torch.Size) -> Tensor:
        """The adjoint of `arrange`: [O, e^2 C, 1, 1] -> [O, n, m, C]."""
        return weights.reshape(shape)

    def along_w(self, block: Tensor) -> Tensor:
        """[n, C, H, W] -> [n, e C, H, W'], m before c."""
        first: Tensor | None = None
        for index, kernel in enumerate(self._w):
            part = F.conv2d(block, kernel, stride=(1, self.stride), padding=(0, self.padding), groups=self.channels)
            if first is None:
                count, channels, height, width = part.shape
                shape = (count, channels * len(self._w), height, width)
                first = torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=_LAST)
            # Slices by hand: concatenating channels-last maps along channels is several times slower.
            first[:, index * self.channels : (index + 1) * self.channels].copy_(part)
        assert first is not None
        return first

    def along_h(self, along_w: Tensor, index: int) -> Tensor:
        """Function n along H: [n, e C, H, W'] -> [n, e C, H', W']."""
        return F.conv2d(
            along_w, self._h[index], stride=(self.stride, 1), padding=(self.padding, 0), groups=along_w.shape[1]
        )

    def convolve(self, maps: Tensor, mixing: Tensor, target: Tensor, rectify: bool) -> None:
        """Write the convolution of maps [n, C, H, W] by `mixing` [O, e^2 C, 1, 1] to `target` [n, O, H', W']."""
        along_w = self.along_w(F.relu(maps) if rectify else maps)
        for index, weight in enumerate(self._weights(mixing)):
            piece = F.conv2d(self.along_h(along_w, index), weight)
            target.copy_(piece) if index == 0 else target.add_(piece)

    def differentiate(
        self, maps: Tensor, d_out: Tensor, mixing: Tensor, d_mixing: Tensor, target: Tensor | None, rectify: bool
    ) -> None:
        """Add the gradient of `mixing` to `d_mixing`, and write that of the maps to `target`."""
        block = F.relu(maps) if rectify else maps
        along_w = self.along_w(block)
        d_along_w: Tensor | None = None
        for index, weight in enumerate(self._weights(mixing)):
            d_filtered, d_weight, _ = torch.ops.aten.convolution_backward(
                d_out, self.along_h(along_w, index), weight, None,
                (1, 1), (0, 0), (1, 1), False, (0, 0), 1, (target is not None, True, False),
            )  # fmt: skip
            d_mixing[:, index * weight.shape[1] : (index + 1) * weight.shape[1]].add_(d_weight)
            if target is not None:
                back = torch.ops.aten.convolution_backward(
                    d_filtered, along_w, self._h[index], None,
                    (self.stride, 1), (self.padding, 0), (1, 1), False, (0, 0), along_w.shape[1], (True, False, False),
                )[0]  # fmt: skip
                d_along_w = back if d_along_w is None else d_along_w.add_(back)
        if target is None or d_along_w is None:
            return
        parts = torch.split(d_along_w, self.channels, dim=1)
        for index, (kernel, part) in enumerate(zip(self._w, parts, strict=True)):
            back = torch.ops.aten.convolution_backward(
                part.contiguous(memory_format=_LAST), block, kernel, None,
                (1, self.stride), (0, self.padding), (1, 1), False, (0, 0), self.channels, (True, False, False),
            )[0]  # fmt: skip
            target.copy_(back) if index == 0 else target.add_(back)
        if rectify:
            target.masked_fill_(block <= 0, 0)

    def _weights(self, mixing: Tensor) -> list[Tensor]:
        """[O, e^2 C, 1, 1] -> for each n a 1x1 kernel [O, e C, 1, 1]."""
        return [part.contiguous(memory_format=_LAST) for part in mixing.chunk(len(self._h), dim=1)]
