"""The residual block of every network, steerable or not."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from hssl.layers import GroupReLU, SpatialStep


class BasicBlock(nn.Module):
    """Pre-activation residual block (Sosnovik et al. 2020): a = ReLU(BN(x)); out = conv2(ReLU(BN(conv1(a)))).

    The skip is x itself where shape stays, else a pointwise convolution of a.

    Args:
        norm1, conv1, norm2, conv2: the layers of the path.
        shortcut: the pointwise convolution; None for x itself.
    """

    def __init__(
        self, norm1: nn.Module, conv1: nn.Module, norm2: nn.Module, conv2: nn.Module, shortcut: nn.Module | None
    ) -> None:
        super().__init__()
        self.norm1, self.conv1, self.norm2, self.conv2, self.shortcut = norm1, conv1, norm2, conv2, shortcut
        self.relu = GroupReLU()

    def forward(self, x):  # type: ignore[no-untyped-def]
        """Features, rows or maps, whatever the layers take."""
        a = self.relu(self.norm1(x))
        out = self.conv2(self.relu(self.norm2(self.conv1(a))))
        return (x if self.shortcut is None else self.shortcut(a)) + out

    def path_steps(self, name: str) -> Iterator[SpatialStep]:
        """Its layers in the order of the path; the shortcut reads what conv1 reads."""
        yield self.conv1.spatial_step(f"{name}.conv1")  # type: ignore[operator]
        if self.shortcut is not None:
            yield self.shortcut.spatial_step(f"{name}.shortcut", beside=True)  # type: ignore[operator]
        yield self.conv2.spatial_step(f"{name}.conv2")  # type: ignore[operator]
