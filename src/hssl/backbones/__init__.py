"""Backbones f: images -> GroupFeatures."""

from hssl.backbones.backbone import Backbone, randomize_statistics
from hssl.backbones.resnet20 import BasicBlock, CIFAR10ResNet20, ResNet20, TinyImageNetResNet20
from hssl.backbones.size import describe_size, is_large
from hssl.backbones.steerable import SteerableBackbone
from hssl.backbones.three_layer import ThreeLayer
from hssl.backbones.unstructured import MLP, PlainResNet20, PlainThreeLayer, Reading
from hssl.backbones.wrap import Wrap

__all__ = [
    "MLP",
    "Backbone",
    "BasicBlock",
    "CIFAR10ResNet20",
    "PlainResNet20",
    "PlainThreeLayer",
    "Reading",
    "ResNet20",
    "SteerableBackbone",
    "ThreeLayer",
    "TinyImageNetResNet20",
    "Wrap",
    "describe_size",
    "is_large",
    "randomize_statistics",
]
