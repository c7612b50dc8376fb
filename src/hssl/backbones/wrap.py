"""One's own network as a backbone: any convolutional network is translation-equivariant."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hssl.backbones.backbone import Backbone
from hssl.errors import SizeError
from hssl.groups import Group, Product, Translations
from hssl.layers import SpatialStep


class Wrap(Backbone):
    """Any module that gives feature maps, read as group features.

    Args:
        network: images [B, C, H, W] -> [B, C', H', W'], or [B, C', |G|, H', W'] with a `group`.
        in_channels, resolution: of the images; one blank image is passed through to learn the shape of the maps.
        group: what indexes the network's group axis; None for a plain convolutional network.
        circular: whether the network pads circularly.

    The wrapper trusts the network: no layer of it is checked. Measure what you got with
    `hssl.evaluation.equivariance.equivariance_report`.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        in_channels: int,
        resolution: int,
        group: Group | None = None,
        circular: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.in_channels, self.resolution = network, in_channels, resolution
        # Part by part: a network may hold frozen parts that are in eval mode while the rest trains.
        modes = [(part, part.training) for part in network.modules()]
        parameter = next(network.parameters(), None)
        try:
            with torch.no_grad():
                blank = torch.zeros(1, in_channels, resolution, resolution)
                values = network.eval()(blank if parameter is None else blank.to(parameter))
        except (RuntimeError, ValueError, TypeError) as error:
            raise SizeError(
                f"the wrapped network does not take images [1, {in_channels}, {resolution}, {resolution}]",
                got=error,
                hint="set in_channels and resolution to those of the network's images",
            ) from error
        finally:
            for part, mode in modes:
                part.training = mode
        if not isinstance(values, Tensor):
            raise SizeError("the wrapped network must give one tensor", got=type(values).__name__)
        dimensions = 4 if group is None else 5
        if values.ndim != dimensions or (group is not None and values.shape[2] != group.streams):
            streams = "" if group is None else f", {group.streams}"
            raise SizeError(
                f"the wrapped network must give feature maps [batch, channels{streams}, height, width]",
                got=f"a tensor of shape {tuple(values.shape)}",
                hint="wrap the part of the network before its pooling and classifier",
            )
        self.channels = values.shape[1]
        height, width = values.shape[-2:]
        self._stride = max(1, round(resolution / height))
        positions = Translations((height, width), stride=self._stride, circular=circular)
        self.group = group or Translations(circular=circular)
        self.feature_group = positions if group is None else Product(group, positions)

    @property
    def total_stride(self) -> int:
        return self._stride

    def spatial_steps(self) -> Sequence[SpatialStep]:
        return ()

    def maps(self, images: Tensor) -> Tensor:
        return self.network(images)  # type: ignore[no-any-return]
