"""Heads: the projector h in front of the loss, and the readouts that measure (appendix B)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from hssl.errors import ConfigurationError
from hssl.groups import Group, GroupFeatures, Scales
from hssl.layers import BasisKind, GroupConv2d, GroupPool, SpacePool


class Projector(nn.Sequential):
    """h: linear layers with a BatchNorm after each and ReLU between, none at the end.

    [N, in_features] -> [N, widths[-1]].

    Args:
        in_features: |g0| * C.
        widths: the paper's (128, 128, 128) or (512, 2048, 512).
        normalize_input: BatchNorm before the first layer, as for the residual networks.
    """

    def __init__(self, in_features: int, widths: Sequence[int], *, normalize_input: bool = False) -> None:
        if not widths or min(widths) < 1 or in_features < 1:
            raise ConfigurationError(
                "a projector needs at least one layer of positive width", got=(in_features, *widths)
            )
        parts: list[nn.Module] = [nn.BatchNorm1d(in_features)] if normalize_input else []
        sizes = [in_features, *widths]
        for index, (before, after) in enumerate(zip(sizes, widths, strict=False)):
            # A bias in front of a BatchNorm does nothing.
            parts += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after)]
            if index < len(widths) - 1:
                parts.append(nn.ReLU())
        super().__init__(*parts)


def as_maps(features: GroupFeatures) -> Tensor:
    """Whole features as readouts read them: [B, C, G, H, W], with G = 1 for positions alone, or [B, C, R] of rows."""
    values = features.values
    return values.unsqueeze(2) if values.ndim == 4 else values


def _check_readout(channels: int, classes: int, **others: int) -> None:
    named = {"channels": channels, "classes": classes, **others}
    if min(named.values()) < 1:
        raise ConfigurationError(
            "a readout needs at least one of everything it counts",
            got=", ".join(f"{name} {value}" for name, value in named.items()),
            expected=">= 1",
        )


class ConvReadout(nn.Module):
    """MNIST's readout: one more steerable layer (k 7, e 3, stride 2, no padding), max over the group, linear.

    'thereby reducing the spatial dimensions to 1'. Features [B, C, G, H, W] -> logits [B, classes]. A map smaller than
    the kernel is padded by 3, so that small images can be read too. Between 8 and 7 pixels the stride reads off-centre:
    the readout is a measuring device, not part of the equivariant f.
    """

    def __init__(self, channels: int, classes: int, group: Group, map_size: int, basis: BasisKind = "sesn") -> None:
        super().__init__()
        _check_readout(channels, classes, map_size=map_size)
        padding = 0 if map_size >= 7 else 3
        self.conv = GroupConv2d(channels, channels, 7, 3, group, stride=2, padding=padding, basis=basis)
        self.pool = nn.Sequential(GroupPool("max"), SpacePool())
        self.linear = nn.Linear(channels, classes)

    def forward(self, values: Tensor) -> Tensor:
        """[B, C, G, H, W] -> [B, classes]."""
        return self.linear(self.pool(self.conv(values)))  # type: ignore[no-any-return]


class PlainConvReadout(ConvReadout):
    """The same readout of the same size for slices without structure: one steerable layer shared by all of them, then
    the max over the slices, linear.

    A layer of its own for every pair of slices would be 200 times larger than the one that reads a steerable network,
    and measure itself. Features [B, C, S, H, W] of any number of slices -> logits [B, classes].
    """

    def __init__(self, channels: int, classes: int, map_size: int) -> None:
        super().__init__(channels, classes, Scales((1.0,)), map_size)

    def forward(self, values: Tensor) -> Tensor:
        """[B, C, S, H, W] -> [B, classes]."""
        batch, _, slices = values.shape[:3]
        rows = self.conv(values.transpose(1, 2).flatten(0, 1).unsqueeze(2)).squeeze(2)
        return self.linear(self.pool(rows.unflatten(0, (batch, slices)).transpose(1, 2)))  # type: ignore[no-any-return]


class RowReadout(nn.Module):
    """The MLP's readout: one more linear layer on each row, max over the rows, linear. [B, C, R] -> [B, classes]."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        _check_readout(channels, classes)
        self.rows = nn.Linear(channels, channels, bias=False)
        self.linear = nn.Linear(channels, classes)

    def forward(self, values: Tensor) -> Tensor:
        """[B, C, R] -> [B, classes]."""
        return self.linear(self.rows(values.transpose(1, 2)).amax(dim=1))  # type: ignore[no-any-return]


class PooledReadout(nn.Module):
    """The residual networks' readout: max over the group, BatchNorm, ReLU, spatial average, linear.

    Features [B, C, G, H, W] -> logits [B, classes].
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        _check_readout(channels, classes)
        self.pool = GroupPool("max")
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.space = SpacePool()
        self.linear = nn.Linear(channels, classes)

    def forward(self, values: Tensor) -> Tensor:
        """[B, C, G, H, W] -> [B, classes]."""
        return self.linear(self.space(self.relu(self.norm(self.pool(values)))))  # type: ignore[no-any-return]
