"""From a configuration to the parts."""

import pytest
import torch
from torch import nn

from hssl.backbones import MLP, CIFAR10ResNet20, PlainResNet20, PlainThreeLayer, ThreeLayer, TinyImageNetResNet20
from hssl.config import Config, Transformation, override
from hssl.errors import ConfigurationError, GroupError
from hssl.groups import Product, Rotations, Scales, Translations, Unstructured
from hssl.heads import ConvReadout, PlainConvReadout, PooledReadout, RowReadout
from hssl.layers import PLAN_CHOICES, SteerableConv2d
from hssl.paper.recipes import recipe, recipe_names
from hssl.training.build import build_backbone, build_group, build_views
from hssl.views import FiberViews, HybridViews, InputViews
from small_runs import SAMPLED, tiny

SMALL = 1 / 32


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_built(name: str) -> None:
    config = recipe(name)
    config = config.model_copy(update={"backbone": config.backbone.model_copy(update={"width": SMALL})})
    backbone = build_backbone(config, 3)
    readout = backbone.build_readout(10)
    assert isinstance(readout, nn.Module)
    if config.mode in ("a-ssl", "h-ssl"):
        views = build_views(config, backbone)
        slices = {"mlp": 16, "cnn-three-layer": 6, "cnn-resnet20": 6}.get(config.backbone.name, 1)
        assert views.base.size == (slices if config.mode == "a-ssl" else 1)  # type: ignore[attr-defined]
        assert isinstance(views, InputViews if config.mode == "a-ssl" else FiberViews)
    else:
        assert build_views(config, backbone) is None


def test_groups() -> None:
    assert build_group(tiny()) == Rotations()
    assert build_group(tiny(transformation="scale", group__factors=(1.0, 2.0))) == Scales((1.0, 2.0))
    for circular in (False, True):
        group = build_group(tiny(transformation="translation", group__circular=circular))
        assert group.circular is circular


@pytest.mark.parametrize(
    ("name", "kind", "readout"),
    [
        ("three-layer", ThreeLayer, ConvReadout),
        ("resnet20-cifar10", CIFAR10ResNet20, PooledReadout),
        ("resnet20-tiny-imagenet", TinyImageNetResNet20, PooledReadout),
        ("mlp", MLP, RowReadout),
        ("cnn-three-layer", PlainThreeLayer, PlainConvReadout),
        ("cnn-resnet20", PlainResNet20, PooledReadout),
    ],
)
def test_networks_and_readouts(name: str, kind: type, readout: type) -> None:
    config = tiny(backbone__name=name, backbone__width=SMALL, data__resolution=17)
    backbone = build_backbone(config, 1)
    assert type(backbone) is kind
    assert type(backbone.build_readout(3)) is readout
    assert backbone.resolution == 17


@pytest.mark.parametrize("name", ["mlp", "cnn-three-layer", "cnn-resnet20"])
def test_controls_transform_images_as_the_experiment_does(name: str) -> None:
    for transformation, kind in (("translation", Translations), ("rotation", Rotations), ("scale", Scales)):
        config = tiny("a-ssl", transformation=transformation, backbone__name=name, backbone__width=SMALL)
        backbone = build_backbone(config, 1)
        assert isinstance(backbone.group, Unstructured)
        assert isinstance(backbone.group.images_by, kind)
        views = build_views(config, backbone)
        assert isinstance(views, InputViews)
        assert views.base.group is backbone.group


@pytest.mark.parametrize(
    ("transformation", "changes", "words"),
    [
        ("rotation", {"backbone.name": "mlp", "backbone.full_extent": True}, "has no field 'full_extent'"),
        ("scale", {"backbone.name": "cnn-three-layer", "backbone.basis": "untruncated"}, "has no field 'basis'"),
        ("rotation", {"group.circular": True}, "has no field 'circular'"),
        ("scale", {"backbone.full_extent": True}, "cyclic group axis"),
        ("translation", {"backbone.full_extent": True}, "cyclic group axis"),
        ("scale", {"backbone.reading": "shared-trunk"}, "has no field 'reading'"),
        ("scale", {"backbone.name": "mlp", "backbone.reading": "shared-trunk"}, "has no field 'reading'"),
    ],
    ids=str,
)
def test_settings_that_a_network_cannot_have(
    transformation: Transformation, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        build_backbone(override(tiny(transformation=transformation), changes), 1)


@pytest.mark.parametrize("name", ["cnn-three-layer", "cnn-resnet20"])
def test_the_reading_of_the_control_arrives(name: str) -> None:
    built = {}
    for changes, reading in (({}, "grouped"), ({"backbone__reading": "shared-trunk"}, "shared-trunk")):
        config = tiny(transformation="scale", backbone__name=name, backbone__width=SMALL, **changes)
        backbone = build_backbone(config, 1)
        assert isinstance(backbone, PlainThreeLayer | PlainResNet20)
        assert backbone.reading == reading
        built[reading] = sum(parameter.numel() for parameter in backbone.parameters())
    assert built["grouped"] != built["shared-trunk"]


def views_of(config: Config) -> InputViews | FiberViews:
    views = build_views(config, build_backbone(config, 1))
    assert isinstance(views, InputViews | FiberViews)
    return views


def test_views_of_each_mode() -> None:
    assert type(views_of(tiny("h-ssl"))) is FiberViews
    assert type(views_of(tiny("a-ssl"))) is InputViews
    assert type(views_of(tiny("hybrid"))) is HybridViews


@pytest.mark.parametrize("mode", ["h-ssl", "a-ssl", "hybrid"])
@pytest.mark.parametrize(
    ("changes", "which"),
    [
        ({"views__streams": "all"}, "all"),
        ({}, "sampled"),
        ({"transformation": "scale"}, "sampled"),
        ({"backbone__plan": "plain"}, "sampled"),
        ({"views__base_size": 2}, "sampled"),
        ({"backbone__full_extent": True}, "all"),
        ({"transformation": "translation", "views__base_size": (1, 1)}, "all"),
        ({"views__joint": True, "views__base_size": (1, 1, 1)}, "all"),
        ({"backbone__name": "mlp"}, "all"),
        ({"backbone__name": "cnn-three-layer", "transformation": "scale"}, "all"),
    ],
    ids=str,
)
def test_streams_are_sampled_where_there_are_some(changes: dict[str, object], which: str, mode: str) -> None:
    config = tiny(mode, **SAMPLED | changes)
    assert views_of(config).which == which
    assert config.samples_streams is (which == "sampled")
    streams = views_of(config).draw(16, torch.Generator()).streams
    assert (streams is not None) is (which == "sampled")


@pytest.mark.parametrize("plan", PLAN_CHOICES)
def test_the_plan_arrives_in_every_layer(plan: str) -> None:
    for name in ("three-layer", "resnet20-cifar10", "resnet20-tiny-imagenet"):
        config = tiny(backbone__name=name, backbone__plan=plan, backbone__width=SMALL, data__resolution=17)
        backbone = build_backbone(config, 1)
        assert {part.plan for part in backbone.modules() if isinstance(part, SteerableConv2d)} == {plan}


def test_base_spaces_live_on_the_group_alone_or_on_both() -> None:
    assert views_of(tiny(views__base_size=2)).base.group == Rotations()
    joint = views_of(tiny(views__joint=True, views__base_size=(1, 2, 2))).base
    assert isinstance(joint.group, Product)
    assert joint.size == 4
    grid = views_of(tiny(transformation="translation", views__base_size=(2, 3))).base
    assert isinstance(grid.group, Translations)
    assert grid.size == 6


def test_joint_needs_two_factors() -> None:
    config = tiny(transformation="translation", views__joint=True)
    with pytest.raises(ConfigurationError, match="no joint group"):
        views_of(config)


def test_base_space_that_does_not_fit() -> None:
    with pytest.raises(GroupError, match="does not fit"):
        views_of(tiny(views__base_size=5))
    with pytest.raises(GroupError, match="one number does not say"):
        views_of(tiny(views__joint=True, views__base_size=2))


def test_view_settings_arrive() -> None:
    config = tiny("a-ssl", views__translation_strength=0.3, views__smallest_scale=0.7, views__scale_draw="discrete")
    views = views_of(config)
    assert isinstance(views, InputViews)
    assert views.image_size == 13
    assert (views.augmentation.translation_strength, views.augmentation.smallest_scale) == (0.3, 0.7)
    assert views.augmentation.scale_draw == "discrete"
    near = views_of(tiny(views__max_distance=1.0)).draw(64, torch.Generator())
    assert (near.positions_1 - near.positions_2).abs().max() == 1


@pytest.mark.parametrize("mode", ["h-ssl", "hybrid"])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"transformation": "scale", "group__factors": (0.5,)}, "more --group.factors"),
        ({"transformation": "scale", "group__factors": (1.0, 1.5), "views__base_size": 2}, "lower --views.base_size"),
        ({"views__max_distance": 0.0}, "raise --views.max_distance"),
        ({"views__max_distance": 0.9}, "raise --views.max_distance"),
    ],
    ids=str,
)
def test_views_that_cannot_differ_are_refused(mode: str, changes: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        views_of(tiny(mode, **changes))
    # One place is all that A-SSL needs, and it never reads the distance.
    assert type(views_of(tiny("a-ssl", **changes))) is InputViews


def test_the_whole_cyclic_group_still_moves() -> None:
    assert views_of(tiny(views__base_size=4)).base.count == 4
    pairs = views_of(tiny(views__base_size=4)).draw(64, torch.Generator().manual_seed(0))
    assert not torch.equal(pairs.positions_1, pairs.positions_2)


def test_pooling() -> None:
    for config, pools in (
        (tiny(), True),
        (tiny(views__joint=True), False),
        (tiny(transformation="translation"), False),
        (tiny(backbone__name="mlp"), False),
        (tiny(backbone__name="cnn-three-layer", transformation="scale"), True),
    ):
        features = build_backbone(config, 1)(torch.rand(2, 1, 13, 13))
        read = views_of(config).read(features)
        assert (read.group != features.group) is pools
        assert read.values.ndim == (3 if pools else features.values.ndim)


@pytest.mark.parametrize(
    ("name", "width", "sizes", "normalised"),
    [
        ("three-layer", 1.0, [256, 128, 128, 128], False),
        ("three-layer", 0.25, [64, 32, 32, 32], False),
        ("three-layer", 1 / 32, [8, 16, 16, 16], False),
        ("three-layer", 2.0, [512, 128, 128, 128], False),
        ("resnet20-cifar10", 1 / 16, [64, 32, 128, 32], True),
    ],
)
def test_projector_grows_with_g0_and_shrinks_with_the_network(
    name: str, width: float, sizes: list[int], normalised: bool
) -> None:
    config = tiny(backbone__name=name, backbone__width=width, views__base_size=2)
    backbone = build_backbone(config, 1)
    projector = backbone.build_projector(views_of(config).base.size)
    linear = [part for part in projector if isinstance(part, nn.Linear)]
    assert [linear[0].in_features, *(part.out_features for part in linear)] == sizes
    assert isinstance(projector[0], nn.BatchNorm1d) is normalised
    assert isinstance(projector[-1], nn.BatchNorm1d)
