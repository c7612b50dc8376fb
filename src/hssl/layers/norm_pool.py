"""Normalisation with statistics shared over the group axis, and pooling over the group or over space."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from hssl.errors import ConfigurationError, SizeError
from hssl.groups import GroupFeatures
from hssl.groups.features import Maps


class GroupBatchNorm(nn.BatchNorm3d):
    """BatchNorm on [B, C, G, H, W] or rows [R, C, H, W]: statistics and affine map shared over streams and space.

    Sharing over the group axis is what equivariance needs: statistics by stream would tell the streams apart.
    """

    def forward(self, input: Maps) -> Maps:
        if isinstance(input, GroupFeatures):
            return input.replaced(self.forward(input.settled))
        if input.ndim == 4:
            return super().forward(input)
        # Features are laid out stream after stream; normalising in that layout saves two copies of the whole map.
        if input.ndim != 5 or input.shape[1] != self.num_features:
            raise self._misfit(input)
        streams = input.shape[2]
        out: Tensor = super().forward(input.transpose(1, 2).flatten(0, 1))
        return out.reshape(len(input), streams, *out.shape[1:]).transpose(1, 2)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim not in (4, 5) or input.shape[1] != self.num_features:
            raise self._misfit(input)

    def _misfit(self, input: Tensor) -> SizeError:
        return SizeError(
            f"this GroupBatchNorm takes features [batch, {self.num_features}, group, height, width], "
            f"or rows [rows, {self.num_features}, height, width]",
            got=f"a tensor of shape {tuple(input.shape)}",
        )


class GroupReLU(nn.ReLU):
    """ReLU of features, which waits for the next layer to take it, or of a tensor."""

    def forward(self, input: Maps) -> Maps:
        return input.rectified() if isinstance(input, GroupFeatures) else super().forward(input)


class GroupPool(nn.Module):
    """Pool over the group axis: [B, C, G, ...] -> [B, C, ...]. The result is invariant to what the group permutes."""

    def __init__(self, how: Literal["max", "mean"] = "max") -> None:
        super().__init__()
        if how not in ("max", "mean"):
            raise ConfigurationError("there is no such pooling over the group", got=how, expected="'max' or 'mean'")
        self.how = how

    def forward(self, values: Tensor) -> Tensor:
        """[B, C, G, ...] -> [B, C, ...]."""
        return values.amax(dim=2) if self.how == "max" else values.mean(dim=2)

    def extra_repr(self) -> str:
        return self.how


class SpacePool(nn.Module):
    """Average over positions: [..., H, W] -> [...]."""

    def forward(self, values: Tensor) -> Tensor:
        """[..., H, W] -> [...]."""
        return values.mean(dim=(-2, -1))
