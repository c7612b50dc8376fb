"""From a configuration to the parts of a run: group, backbone, views, projector, readout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import nn

from hssl.backbones import (
    MLP,
    Backbone,
    CIFAR10ResNet20,
    PlainResNet20,
    PlainThreeLayer,
    SteerableBackbone,
    ThreeLayer,
    TinyImageNetResNet20,
)
from hssl.config import Config
from hssl.errors import ConfigurationError
from hssl.groups import Augmentation, BaseSpace, Group, Product, Rotations, Scales, Translations
from hssl.heads import ConvReadout, PlainConvReadout, PooledReadout, Projector, RowReadout
from hssl.views import FiberViews, HybridViews, InputViews, Views

_STRUCTURED: dict[str, Callable[..., SteerableBackbone]] = {
    "three-layer": ThreeLayer,
    "resnet20-cifar10": CIFAR10ResNet20,
    "resnet20-tiny-imagenet": TinyImageNetResNet20,
}
_PLAIN: dict[str, Callable[..., Backbone]] = {"cnn-three-layer": PlainThreeLayer, "cnn-resnet20": PlainResNet20}

# Output sizes of the projector's layers at full width (appendix B).
_PROJECTOR_WIDTHS = {"three-layer": (128, 128, 128), "mlp": (128, 128, 128), "cnn-three-layer": (128, 128, 128)}
_RESIDUAL_PROJECTOR_WIDTHS = (512, 2048, 512)


def build_group(config: Config) -> Group:
    """The group of the transformation under study."""
    if config.transformation == "translation":
        return Translations(circular=config.backbone.circular)
    if config.transformation == "rotation":
        return Rotations()
    return Scales(config.backbone.scales)


def build_backbone(config: Config, channels: int) -> Backbone:
    """The network f for images of `channels` channels.

    Raises:
        SizeError: a resolution that breaks the group's exactness; the layer and the nearest legal sizes are named.
        ConfigurationError: settings that the network cannot have.
    """
    group, settings = build_group(config), config.backbone
    common: dict[str, Any] = {"in_channels": channels, "resolution": config.data.resolution, "width": settings.width}
    if settings.circular and config.transformation != "translation":
        raise ConfigurationError(
            "circular padding belongs to translations",
            got=f"backbone.circular with transformation {config.transformation}",
            hint="drop --backbone.circular",
        )
    if settings.full_extent and not group.turns:
        raise ConfigurationError(
            "only rotations have a cyclic group axis to convolve over",
            got=f"backbone.full_extent with transformation {config.transformation}",
            hint="drop --backbone.full_extent",
        )
    if settings.reading != "grouped" and settings.name not in _PLAIN:
        raise ConfigurationError(
            "only the CNN controls have more than one reading",
            got=f"backbone.reading {settings.reading} with backbone.name {settings.name}",
            expected=f"backbone.name {' or '.join(_PLAIN)}",
            hint="drop --backbone.reading",
        )
    if settings.name in _STRUCTURED:
        backbone = _STRUCTURED[settings.name](group, basis=settings.basis, full_extent=settings.full_extent, **common)
        backbone.plan = settings.plan
        return backbone
    if settings.full_extent or settings.circular or settings.basis != "sesn":
        raise ConfigurationError(
            "a network without structure has no steerable filters to change",
            got=f"backbone.name {settings.name} with full_extent, circular or basis set",
            hint="drop those settings",
        )
    if settings.name == "mlp":
        return MLP(images_by=group, **common)
    return _PLAIN[settings.name](images_by=group, streams=len(settings.scales), reading=settings.reading, **common)


def pools_space(config: Config, backbone: Backbone) -> bool:
    """Whether features are averaged over positions before h: always, except where positions are the group."""
    return isinstance(backbone.feature_group, Product) and not config.views.joint


def build_views(config: Config, backbone: Backbone) -> Views:
    """A-SSL, H-SSL or hybrid views for the backbone's features.

    Raises:
        GroupError: a base space that does not fit the group.
        ConfigurationError: no joint group where one is asked, or views that can only draw a pair of equal base spaces.
    """
    group = backbone.feature_group
    if pools_space(config, backbone):
        assert isinstance(group, Product)
        group = group.first
    elif config.views.joint and not isinstance(group, Product):
        raise ConfigurationError(
            f"there is no joint group: features of this network are indexed by {group} alone",
            got="views.joint true",
            hint="drop --views.joint, or choose a rotation or scale recipe",
        )
    settings = config.views
    base = BaseSpace(group, settings.base_size)
    if config.mode in ("h-ssl", "hybrid"):
        _check_moves(config, base)
    # Where streams mix, are read at positions too, or are none, all are computed.
    streams: Literal["all", "sampled"] = "sampled" if config.samples_streams and backbone.separate_streams else "all"
    if config.mode == "h-ssl":
        return FiberViews(base, settings.max_distance, settings.distance, streams)
    augmentation = Augmentation(settings.translation_strength, settings.smallest_scale, settings.scale_draw)
    if config.mode == "hybrid":
        return HybridViews(
            backbone.group,
            base,
            config.data.resolution,
            augmentation,
            settings.max_distance,
            settings.distance,
            streams,
        )
    if config.mode != "a-ssl":
        raise ConfigurationError(f"the mode '{config.mode}' has no views: it trains without positive pairs")
    return InputViews(backbone.group, base, config.data.resolution, augmentation, streams)


def _check_moves(config: Config, base: BaseSpace) -> None:
    """Refuse views that move g0 where g0 cannot move: both views would be read at the same place."""
    settings = config.views
    why = (
        "every positive pair would be the same vector twice, and nothing be learned"
        if config.mode == "h-ssl"
        else "the views would be those of a-ssl"
    )
    if base.count < 2:
        raise ConfigurationError(
            f"the base space has a single place in the group: {why}",
            got=f"views.base_size {settings.base_size} in {base.group}",
            expected="at least 2 placements",
            hint="lower --views.base_size, or choose a larger group"
            if base.size > 1
            else "choose a larger group, such as more --backbone.scales",
        )
    if settings.max_distance is None:
        return
    first, second = base.pairs_within(settings.max_distance, settings.distance).unbind(1)
    if bool((first == second).all()):
        raise ConfigurationError(
            f"no two places of the base space are that near to each other: {why}",
            got=f"views.max_distance {settings.max_distance:g} ({settings.distance})",
            expected="a distance that lets different placements pair",
            hint="raise --views.max_distance, or leave it out for any distance",
        )


def build_projector(config: Config, backbone: Backbone, base: BaseSpace) -> Projector:
    """h, with an input layer that grows with |g0| and widths that shrink with the backbone."""
    residual = config.backbone.name not in _PROJECTOR_WIDTHS
    widths = _RESIDUAL_PROJECTOR_WIDTHS if residual else _PROJECTOR_WIDTHS[config.backbone.name]
    shrunk = [max(16, round(width * min(1.0, config.backbone.width))) for width in widths]
    return Projector(base.size * backbone.channels, shrunk, normalize_input=residual)


def build_readout(config: Config, backbone: Backbone, classes: int) -> nn.Module:
    """The paper's classifier for the backbone: on maps [B, C, G, H, W], or rows [B, C, R] for the MLP."""
    channels, name = backbone.channels, config.backbone.name
    if name == "mlp":
        return RowReadout(channels, classes)
    if name in ("resnet20-cifar10", "resnet20-tiny-imagenet", "cnn-resnet20"):
        return PooledReadout(channels, classes)
    map_size = backbone.feature_group.axes[-1]
    if name == "cnn-three-layer":
        return PlainConvReadout(channels, classes, map_size)
    return ConvReadout(channels, classes, backbone.group, map_size, config.backbone.basis)
