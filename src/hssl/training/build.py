"""From a configuration to the parts of a run: group, backbone, views, method."""

from __future__ import annotations

from hssl.backbones import Backbone
from hssl.config import Config
from hssl.groups import Group
from hssl.methods import Method
from hssl.parts import build
from hssl.views import Views


def build_group(config: Config) -> Group:
    """The group of the network and of the views."""
    group: Group = build("group", config.group)
    return group


def build_backbone(config: Config, channels: int) -> Backbone:
    """The network f for images of `channels` channels.

    Raises:
        SizeError: a resolution that breaks the group's exactness; the layer and the nearest legal sizes are named.
        ConfigurationError: settings that the network cannot have.
    """
    group, resolution = build_group(config), config.data.resolution
    backbone: Backbone = build("backbone", config.backbone, group, in_channels=channels, resolution=resolution)
    return backbone


def build_views(config: Config, backbone: Backbone) -> Views | None:
    """Where pairs come from in the backbone's features; None for a method that takes none.

    Raises:
        GroupError: a base space that does not fit the group.
        ConfigurationError: no joint group where one is asked, or views that can only draw a pair of equal base spaces.
    """
    if not config.method.takes_pairs:
        return None
    views: Views = build("views", config.views, backbone, config.data.resolution)
    return views


def build_method(config: Config, channels: int, classes: int | None) -> Method:
    """What is trained: the method with its backbone and views."""
    backbone = build_backbone(config, channels)
    method: Method = build("method", config.method, backbone, build_views(config, backbone), classes)
    return method
