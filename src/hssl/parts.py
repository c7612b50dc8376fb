"""The parts that a run is made of, by name: ours in a table, one's own by import path. Imports no torch.

A part is a class, and beside it stands its `Settings` (a `PartSettings`), the fields that a configuration may set. It
is made by its `of` where it has one, else called: with what surrounds it and, by keyword, with those fields. Your own
is named by where it can be imported from, `my_module:MyClass`; the working folder is looked in too. Its `Settings` are
validated, listed and saved as ours are.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from hssl.errors import ConfigurationError, nearest
from hssl.settings import PartSettings


@dataclass(frozen=True)
class Kind:
    """A place in a run that a part fills.

    Attributes:
        settings: `module:Class` of what all Settings of the kind derive from.
        base: `module:Class` of what all parts of the kind derive from.
        named: name -> `module:Class` of our parts; their Settings are `Class + 'Settings'` of the room's `settings`.
    """

    settings: str
    base: str
    named: Mapping[str, str]


_RESNETS = "hssl.backbones.resnet20"
_CONTROLS = "hssl.backbones.unstructured"
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "data": Kind(
            "hssl.data.settings:DataSettings",
            "hssl.data.own:DataSource",
            # Settings alone: `hssl.data.sources.open_source` tells them apart.
            dict.fromkeys(("digits", "mnist", "cifar10", "tiny-imagenet", "folder"), "hssl.data.sources:Data"),
        ),
        "group": Kind(
            "hssl.groups.settings:GroupSettings",
            "hssl.groups.group:Group",
            {
                "translations": "hssl.groups.translations:Translations",
                "rotations": "hssl.groups.rotations:Rotations",
                "dihedral": "hssl.groups.dihedral:Dihedral",
                "scales": "hssl.groups.scales:Scales",
                "product": "hssl.groups.product:Product",
            },
        ),
        "backbone": Kind(
            "hssl.backbones.settings:BackboneSettings",
            "hssl.backbones.backbone:Backbone",
            {
                "three-layer": "hssl.backbones.three_layer:ThreeLayer",
                "resnet20-cifar10": f"{_RESNETS}:CIFAR10ResNet20",
                "resnet20-tiny-imagenet": f"{_RESNETS}:TinyImageNetResNet20",
                "mlp": f"{_CONTROLS}:MLP",
                "cnn-three-layer": f"{_CONTROLS}:PlainThreeLayer",
                "cnn-resnet20": f"{_CONTROLS}:PlainResNet20",
                "wrap": "hssl.backbones.wrap:Wrap",
            },
        ),
        "views": Kind(
            "hssl.views.settings:ViewsSettings",
            "hssl.views.views:Views",
            {
                "fibers": "hssl.views.fiber_views:FiberViews",
                "inputs": "hssl.views.input_views:InputViews",
                "hybrid": "hssl.views.hybrid_views:HybridViews",
            },
        ),
        "method": Kind(
            "hssl.methods.settings:MethodSettings",
            "hssl.methods.method:Method",
            {
                "contrastive": "hssl.methods.contrastive:Contrastive",
                "supervised": "hssl.methods.supervised:Supervised",
                "frozen": "hssl.methods.frozen:Frozen",
            },
        ),
        "optimizer": Kind(
            "hssl.optimizers.settings:OptimizerSettings",
            "torch.optim:Optimizer",
            {
                "lars": "hssl.optimizers.lars:LARS",
                "adamw": "hssl.optimizers.torch_optimizers:AdamW",
                "sgd": "hssl.optimizers.torch_optimizers:SGD",
            },
        ),
    }
)
SHORT: Mapping[str, Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "group": {
            "c4": {"name": "rotations"},
            "d4": {"name": "dihedral"},
            "c4xscales": {"name": "product", "first": "rotations", "second": "scales"},
            "d4xscales": {"name": "product", "first": "dihedral", "second": "scales"},
        }
    }
)
"""Words that stand for a part's name and some of its settings: `--group c4`."""


def settings_class(kind: str, name: str) -> type[PartSettings]:
    """The Settings of a part.

    Raises:
        ConfigurationError: no such part (the nearest known one is named), or one that cannot be imported or used.
    """
    if kind == "data" and name.startswith("hub:"):
        name = "folder"
    table = KINDS[kind].named
    if ":" in name:
        part = load(kind, name)
        base = _imported(KINDS[kind].settings)
        settings = getattr(part, "Settings", base)
        if not (isinstance(settings, type) and issubclass(settings, base)):
            raise ConfigurationError(
                f"the Settings of '{name}' are not those of a part of this kind",
                got=settings,
                expected=f"a class that derives from {KINDS[kind].settings}",
            )
        return settings
    if name not in table:
        known = [*table, "my_module:MyClass", *(("hub:OWNER/NAME",) if kind == "data" else ())]
        none = {"data": "is no data set", "views": "are no views"}.get(kind, f"is no {kind}")
        raise ConfigurationError(
            f"there {none} '{name}'",
            got=f"{kind}.name {name}",
            expected=", ".join(known),
            hint=nearest(name.lower(), table, "") or None,
        )
    room = KINDS[kind].settings.partition(":")[0]
    own = table[name].partition(":")[2]
    return getattr(importlib.import_module(room), f"{own}Settings")  # type: ignore[no-any-return]


@cache
def load(kind: str, name: str) -> type[Any]:
    """The class of a part, by name or import path.

    Raises:
        ConfigurationError: nothing can be imported from there, or it is no part of this kind.
    """
    path = KINDS[kind].named.get(name, name)
    part = _imported(path)
    base = _imported(KINDS[kind].base)
    if not (isinstance(part, type) and issubclass(part, base)):
        raise ConfigurationError(
            f"'{name}' is no {kind}",
            got=part.__name__ if isinstance(part, type) else repr(part),
            expected=f"a class that derives from {base.__module__}.{base.__qualname__}",
        )
    return part


def build(kind: str, settings: PartSettings, *surroundings: Any, **named: Any) -> Any:
    """A part of its settings, made with what surrounds it and, by keyword, the fields of its Settings."""
    part = load(kind, settings.name)
    return getattr(part, "of", part)(*surroundings, **named, **fields(settings))


def fields(settings: PartSettings) -> dict[str, Any]:
    """The settings by name, without the name of the part itself."""
    return {name: getattr(settings, name) for name in type(settings).model_fields if name != "name"}


def import_path(path: str) -> Any:
    """What `module:name` names, also in the working folder.

    Raises:
        ConfigurationError: it cannot be imported, or the module has no such name.
    """
    return _imported(path)


def _imported(path: str) -> Any:
    module_name, _, attribute = path.partition(":")
    if not (module_name and attribute):
        raise ConfigurationError("an import path has two halves", got=path, expected="my_module:MyClass")
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigurationError(
            f"'{path}' cannot be imported",
            got=f"{type(error).__name__}: {error}",
            hint="run from the folder that holds the module, or install it",
        ) from error
    if not hasattr(module, attribute):
        names = [name for name in vars(module) if not name.startswith("_")]
        raise ConfigurationError(
            f"the module '{module_name}' has no '{attribute}'", hint=nearest(attribute, names, "") or None
        )
    return getattr(module, attribute)
