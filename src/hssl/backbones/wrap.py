"""One's own network as a backbone: any convolutional network is translation-equivariant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from hssl.backbones.backbone import Backbone
from hssl.backbones.settings import BackboneSettings, WrapSettings
from hssl.errors import ConfigurationError, SizeError
from hssl.groups import Group, Product, Translations
from hssl.layers import SpatialStep
from hssl.parts import import_path


class Wrap(Backbone):
    """Any module that gives feature maps, read as group features.

    Args:
        network: images [B, C, H, W] -> [B, C', H', W'], or [B, C', |G|, H', W'] with a `group`.
        in_channels, resolution: of the images; one blank image is passed through to learn the shape of the maps.
        group: what indexes the network's group axis; None for a plain convolutional network.
        circular: whether the network pads circularly.

    The wrapper trusts the network: no layer of it is checked. Measure what you got with
    `hssl.evaluation.equivariance.check_equivariance`.
    """

    Settings: ClassVar[type[BackboneSettings]] = WrapSettings

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

    @classmethod
    def of(cls, group: Group, *, in_channels: int, resolution: int, network: str, width: float) -> Wrap:  # type: ignore[override]
        """The network that an import path names, `my_module:my_function`, called with the channels of the images."""
        if not network:
            raise ConfigurationError(
                "a wrapped network needs its import path", hint="--backbone.network my_module:my_function"
            )
        made = import_path(network)(in_channels)
        if not isinstance(made, nn.Module):
            raise ConfigurationError(
                f"'{network}' gives no network", got=type(made).__name__, expected="torch.nn.Module"
            )
        positions = isinstance(group, Translations)
        return cls(
            made,
            in_channels=in_channels,
            resolution=resolution,
            group=None if positions else group,
            circular=group.circular,
        )

    def spatial_steps(self) -> Sequence[SpatialStep]:
        return ()

    def stages(self) -> Sequence[nn.Module]:
        return (self.network,)
