"""The typed, validated configuration of a run: the union of what its parts declare. Imports no torch.

A recipe (`hssl.paper.recipes`) returns one of these; any field can be overridden by its dotted name. Which fields a
section has follows from the part that its `name` chooses (`hssl.parts`).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import Field, SerializeAsAny, ValidationError, model_validator
from pydantic.fields import FieldInfo

from hssl.backbones.settings import BackboneSettings, ThreeLayerSettings
from hssl.data.settings import DataSettings
from hssl.errors import ConfigurationError, nearest
from hssl.groups.settings import GroupSettings, ScalesSettings
from hssl.methods.settings import ContrastiveSettings, MethodSettings
from hssl.optimizers.settings import LARSSettings, OptimizerSettings
from hssl.parts import KINDS, SHORT, settings_class
from hssl.settings import Section
from hssl.views.settings import FiberViewsSettings, SampledSettings, ViewsSettings

Mode = Literal["a-ssl", "h-ssl", "hybrid", "frozen", "supervised"]
Transformation = Literal["translation", "rotation", "scale"]
BudgetName = Literal["smoke", "quick", "long", "paper"]
CUSTOM = "custom"
"""The recipe of a run that was put together part by part."""
MODES: Mapping[Mode, Mapping[str, str]] = {
    "a-ssl": {"method.name": "contrastive", "views.name": "inputs"},
    "h-ssl": {"method.name": "contrastive", "views.name": "fibers"},
    "hybrid": {"method.name": "contrastive", "views.name": "hybrid"},
    "frozen": {"method.name": "frozen"},
    "supervised": {"method.name": "supervised"},
}
"""The paper's words for a method and where its pairs come from."""
TRANSFORMATIONS: Mapping[str, Transformation] = {
    "translations": "translation",
    "rotations": "rotation",
    "scales": "scale",
}
"""The paper's words for the groups of its experiments."""

# Fields that change no number: where the images lie and how they are kept.
_WITHOUT_NUMBERS = ("data.root", "data.store")
_ALL_FIELDS = "hssl recipes --fields lists every field"


class TrainerSettings(Section):
    """How long, how large and on what."""

    epochs: int = Field(default=500, ge=1, description="passes over the training images")
    batch_size: int = Field(default=4096, ge=1, description="images a step over all devices and accumulated parts")
    accumulate: int = Field(
        default=1, ge=1, description="parts a step is computed in (negatives come from the own part only)"
    )
    precision: Literal["auto", "32", "64", "bf16", "fp16"] = Field(
        default="auto", description="auto: bf16 where the device has it"
    )
    accelerator: Literal["auto", "cpu", "gpu"] = Field(default="auto", description="auto: a GPU where there is one")
    devices: int = Field(default=1, ge=1, description="devices, or processes, on each node")
    nodes: int = Field(default=1, ge=1, description="machines")
    checkpoint_every_epochs: int = Field(
        default=1, ge=1, description="an interrupted run continues from the last checkpoint"
    )
    evaluate_every_epochs: int | None = Field(
        default=None, ge=1, description="readout on the test set while training; none: at the end"
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads; none: as torch chooses")


class EvaluationSettings(Section):
    """The readout of the paper and the probes beside it."""

    readout: Literal["alongside", "afterwards"] = Field(
        default="alongside",
        description="train the readout together with the network (the paper), or anew on the finished one; a "
        "supervised network is trained through a readout either way",
    )
    readout_epochs: int = Field(default=20, ge=1, description="epochs of a readout that is trained afterwards")
    knn_neighbours: int = Field(default=20, ge=1, description="neighbours that vote in the kNN probe")
    labelled_images: int | None = Field(
        default=None,
        ge=2,
        description="training images at most that readout, probes and kNN are fitted on, a fixed choice, the same for "
        "every seed; none: all",
    )
    linear_probe_images: int = Field(
        default=10_000, ge=10, description="training images at most for the logistic regression"
    )
    few_labels: int = Field(default=10, ge=1, description="labels a class of the probe from few labels")
    label_free_images: int = Field(
        default=512, ge=12, description="test images that the label-free measures are taken on, each once transformed"
    )
    equivariance_images: int = Field(
        default=16, ge=1, description="test images that the equivariance error is measured on"
    )


class Config(Section):
    """One run. `identity()` names it: two runs with the same identity compute the same numbers."""

    recipe: str = Field(default=CUSTOM, description="the recipe that the run started from")
    budget: BudgetName = Field(default="paper", description="the budget that the recipe was scaled to")
    seed: int = Field(default=0, ge=0, lt=2**31, description="weights, order, views and choice of images")
    data: SerializeAsAny[DataSettings] = DataSettings()
    group: SerializeAsAny[GroupSettings] = ScalesSettings()
    backbone: SerializeAsAny[BackboneSettings] = ThreeLayerSettings()
    views: SerializeAsAny[ViewsSettings] = FiberViewsSettings()
    method: SerializeAsAny[MethodSettings] = ContrastiveSettings()
    optimizer: SerializeAsAny[OptimizerSettings] = LARSSettings()
    trainer: TrainerSettings = TrainerSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="after")
    def _enough_in_a_part(self) -> "Config":
        if self.trainer.batch_size < 2 * self.trainer.accumulate:
            lacking = "negatives" if self.method.takes_pairs else "BatchNorm statistics"
            raise ValueError(
                f"'trainer.batch_size' {self.trainer.batch_size} leaves no {lacking}: "
                f"at least 2 images for each of the 'trainer.accumulate' {self.trainer.accumulate} part(s) are needed"
            )
        return self

    @property
    def mode(self) -> str:
        """The paper's word for method and views (`Mode`); any other method's name, with its views where it has any."""
        views = self.views.label or self.views.name
        if self.method.name == "contrastive":
            return views
        return f"{self.method.name} {views}" if self.method.takes_pairs else self.method.name

    @property
    def transformation(self) -> str:
        """The paper's word for the group (`Transformation`), or the group's own name."""
        return TRANSFORMATIONS.get(self.group.name, self.group.name)

    def identity(self) -> str:
        """A hash over every field that can change a number. Where and how the data is kept is none of them."""
        tree = self.model_dump(mode="json")
        for name in _WITHOUT_NUMBERS:
            section, field = name.split(".")
            tree[section].pop(field)
        return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]

    def with_absolute_root(self) -> "Config":
        """The same run with the place of its data spelled out, so that it can be found from any working folder.

        Raises:
            ConfigurationError: '~' of a user that there is not.
        """
        if self.data.root is None:
            return self
        try:
            root = str(Path(self.data.root).expanduser().resolve())
        except RuntimeError:
            raise ConfigurationError("there is no such home folder", got=f"data.root {self.data.root}") from None
        return self.model_copy(update={"data": self.data.model_copy(update={"root": root})})

    @property
    def samples_streams(self) -> bool:
        """Whether training computes only the streams that pairs read: asked for, and streams there are."""
        return (
            isinstance(self.views, SampledSettings)
            and self.views.streams == "sampled"
            and not self.views.joint
            and self.method.takes_pairs
            and self.group.has_streams
            and self.backbone.separates_streams
        )

    def without_effect(self) -> tuple[str, ...]:
        """One line for every setting of the views that was changed and that this run never reads."""
        asked, usual = self.views.model_dump(), type(self.views)(name=self.views.name).model_dump()
        idle = set(asked) - {"name"} if not self.method.takes_pairs else self.views.without_effect(self.group.name)
        if not self.samples_streams:
            idle |= {"streams"}
        if asked["base_size"] == (1, 1):  # as recipes spell a single element where features lie on a grid
            asked["base_size"] = 1
        return tuple(
            f"views.{name} {value} has no effect here: mode {self.mode}, transformation {self.transformation}"
            for name, value in asked.items()
            if name in idle and value != usual[name]
        )


def fields_of(config: Config | None = None) -> dict[str, FieldInfo]:
    """Every field by its dotted name, of the parts that the configuration has; None: of the default ones."""
    found: dict[str, FieldInfo] = {}
    config = config or Config()
    for name, field in Config.model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Section):
            found |= {f"{name}.{inner}": inner_field for inner, inner_field in type(value).model_fields.items()}
        else:
            found[name] = field
    return found


def fields_of_parts(config: Config) -> Iterator[tuple[str, str, FieldInfo]]:
    """Every field of every part that can be named, and of those of the configuration: dotted name, parts, field.

    A field that several parts of a kind declare alike is told once, with the names of all of them; the fields that all
    of them have, and those of no part, with the empty text.
    """
    for name, field in Config.model_fields.items():
        value = getattr(config, name)
        if name not in KINDS:
            inside = type(value).model_fields if isinstance(value, Section) else {}
            yield from ((f"{name}.{inner}", "", inner_field) for inner, inner_field in inside.items())
            if not inside:
                yield name, "", field
            continue
        parts = [*dict.fromkeys([*KINDS[name].named, value.name])]
        classes = {part: settings_class(name, part).model_fields for part in parts}
        told: dict[tuple[str, str], tuple[list[str], FieldInfo]] = {}
        for part, declared in classes.items():
            for inner, inner_field in declared.items():
                key = (inner, "" if inner == "name" else repr((inner_field.description, inner_field.default)))
                told.setdefault(key, ([], inner_field))[0].append(part)
        for (inner, _), (having, inner_field) in told.items():
            yield f"{name}.{inner}", "" if len(having) == len(parts) else ", ".join(having), inner_field


def accepted_by(field: FieldInfo) -> tuple[str, str]:
    """What a field accepts and its default, both for people: ('auto | cpu | gpu', 'auto')."""
    default = field.get_default()
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else "none" if default is None else str(default)
    bounds = [
        f"{sign} {getattr(limit, word)}"
        for limit in field.metadata
        for word, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
        if hasattr(limit, word)
    ]
    return _spelled(field.annotation, " and ".join(bounds)), shown.lower() if isinstance(default, bool) else shown


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """`config` with fields replaced by dotted name. Strings are read as YAML values; '1,1.5,2' is a list too.

    A section's own name stands for its part: `{"group": "c4"}`. Another part keeps the fields that it shares with the
    one before; what it does not have falls away.

    Raises:
        ConfigurationError: an unknown field (the nearest known one is named), a value out of range, or another group
            than the one that the recipe is about.
    """
    changes = _spelled_out(changes)
    tree = {name: _plain(value) for name, value in config}
    for kind in KINDS:
        name = changes.get(f"{kind}.name")
        if name is None or name == tree[kind]["name"]:
            continue
        if kind == "group" and config.recipe != CUSTOM:
            raise ConfigurationError(
                f"the recipe {config.recipe} is about {config.group.name}",
                got=f"group.name {name}",
                hint=f"hssl train {CUSTOM} --group.name {name} ... puts a run together part by part",
            )
        declared = settings_class(kind, str(name)).model_fields
        tree[kind] = {field: value for field, value in tree[kind].items() if field in declared} | {"name": name}
    parts = {kind: settings_class(kind, tree[kind]["name"]) for kind in KINDS}
    known = dict(_known(parts))
    for name, value in changes.items():
        if name not in known:
            raise _unknown(name, value, known, {kind: tree[kind]["name"] for kind in KINDS})
        section, _, field = name.rpartition(".")
        place = tree[section] if section else tree
        place[field] = _read(name, known[name], value) if isinstance(value, str) else value
    return parse(tree)


def override_where(config: Config, changes: Mapping[str, Any], beside: Iterable[Config] = ()) -> Config:
    """As `override`, for several runs at once: fields that only other parts of the same kind have are left out.

    Args:
        beside: the other runs, whose parts may be one's own.

    Raises:
        ConfigurationError: as `override`; a field that no part of the kind has.
    """
    changes = _spelled_out(changes)
    chosen = override(config, {name: value for name, value in changes.items() if name.rpartition(".")[2] == "name"})
    own = fields_of(chosen)
    elsewhere = {name for name, _, _ in fields_of_parts(chosen)}.union(*map(fields_of, beside))
    return override(chosen, {name: value for name, value in changes.items() if name in own or name not in elsewhere})


def parse(tree: Mapping[str, Any]) -> Config:
    """A validated configuration from nested mappings (a `config.yaml`).

    Raises:
        ConfigurationError: with every field that does not fit, what it got and what is expected.
    """
    if moved := [name for name in ("mode", "transformation", "objective") if name in tree]:
        raise ConfigurationError(
            "this configuration was written by another version of hssl, before its parts had names",
            got=", ".join(moved),
            expected="group.name, method.name and views.name instead",
            hint="start the run again from its recipe",
        )
    whole, problems, unknown, meant = dict(tree), list[str](), list[str](), list[str]()
    defaults = Config()
    parts: dict[str, type[Section]] = {}
    for kind in KINDS:
        given = whole.get(kind, {})
        if isinstance(given, Section):
            parts[kind] = type(given)
        elif isinstance(given, Mapping):
            parts[kind] = settings_class(kind, str(given.get("name", getattr(defaults, kind).name)))
            whole[kind] = {"name": getattr(defaults, kind).name, **given}
    known = dict(_known(parts))
    checked: dict[str, Any] = {}
    for name, value in whole.items():
        section = parts.get(name)
        try:
            checked[name] = (
                section.model_validate(value) if section is not None and isinstance(value, Mapping) else value
            )
        except ValidationError as error:
            _collect(error, name, known, problems, unknown, meant)
    try:
        # A section that does not hold leaves its default here, so that the others are looked at too.
        config = Config.model_validate(checked)
    except ValidationError as error:
        _collect(error, "", known, problems, unknown, meant)
    if problems:
        close = next((words for words in meant if words), _ALL_FIELDS)
        raise ConfigurationError(
            "the configuration does not hold: " + "; ".join(dict.fromkeys(problems)),
            hint=nearest(unknown[0], known, _ALL_FIELDS) if unknown else close,
        ) from None
    return config


def load(path: Path) -> Config:
    """The configuration in a YAML file. Fields that the file leaves out have their defaults.

    Raises:
        ConfigurationError: no such file, not readable as YAML, or fields that do not fit.
    """
    import yaml

    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the configuration {path} cannot be read", got=error, expected="a YAML file"
        ) from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML", got=" ".join(str(error).split())) from None
    if not isinstance(tree, Mapping):
        raise ConfigurationError(
            f"{path} holds no configuration",
            got=type(tree).__name__,
            expected="sections and fields, as in a run's config.yaml",
        )
    return parse(tree)


def differences(old: Config, new: Config) -> list[str]:
    """One line for each field in which two configurations differ (where and how the data is kept is left out)."""
    left, right = flat_fields(old.model_dump(mode="json")), flat_fields(new.model_dump(mode="json"))
    return [
        f"{name}: {left.get(name)!r} there, {right.get(name)!r} asked"
        for name in sorted(left.keys() | right.keys())
        if name not in _WITHOUT_NUMBERS and left.get(name) != right.get(name)
    ]


def flat_fields(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a configuration that was written out as nested mappings, by dotted name."""
    return dict(_flatten(tree))


# -- inside ------------------------------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    return value.model_dump(mode="python") if isinstance(value, Section) else value


def _spelled_out(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Names of sections replaced by the fields that they are short for."""
    out: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in KINDS:
            out[name] = value
            continue
        for field, stands_for in SHORT.get(name, {}).get(str(value).lower(), {"name": value}).items():
            whole = f"{name}.{field}"
            if whole in changes and changes[whole] != stands_for:
                raise ConfigurationError(
                    "two choices contradict each other", got=f"--{name} {value} and --{whole} {changes[whole]}"
                )
            out[whole] = stands_for
    return out


def _known(parts: Mapping[str, type[Section]]) -> Iterator[tuple[str, FieldInfo]]:
    """Every field by its dotted name, where the parts have these Settings."""
    for name, field in Config.model_fields.items():
        section = parts.get(name, field.annotation)
        if isinstance(section, type) and issubclass(section, Section):
            yield from ((f"{name}.{inner}", inner_field) for inner, inner_field in section.model_fields.items())
        else:
            yield name, field


def _unknown(name: str, value: Any, known: Mapping[str, FieldInfo], parts: Mapping[str, str]) -> ConfigurationError:
    got = f"--{name} {value}".rstrip()
    inside = [field for field in known if field.startswith(f"{name}.")]
    if inside:
        return ConfigurationError(
            f"'{name}' is a section of the configuration, not a field",
            got=got,
            hint=f"choose one of: {', '.join(inside)}",
        )
    kind, _, field = name.partition(".")
    if kind in KINDS:
        having = [part for part in KINDS[kind].named if field in settings_class(kind, part).model_fields]
        if having:
            return ConfigurationError(
                f"{kind} '{parts[kind]}' has no field '{field}'",
                got=f"{got} with {kind}.name {parts[kind]}",
                hint=f"it belongs to {kind}.name {' or '.join(having)}",
            )
    return ConfigurationError(
        f"there is no field '{name}' in the configuration", got=got, hint=nearest(name, known, _ALL_FIELDS)
    )


def _collect(
    error: ValidationError,
    section: str,
    known: Mapping[str, FieldInfo],
    problems: list[str],
    unknown: list[str],
    meant: list[str],
) -> None:
    """What a validation found, one problem a field, in words; the fields that there are not, and the nearest words."""
    for item in error.errors():
        # A union reports each of its alternatives under a part of its own: 'tuple[int, ...]', 'int'.
        path = [str(part) for part in item["loc"] if not str(part).startswith(("tuple", "int", "constrained-"))]
        name = ".".join([section, *path] if section else path)
        if item["type"] == "extra_forbidden":
            unknown.append(name)
            problems.append(f"there is no field '{name}'")
            continue
        message = item["msg"].removeprefix("Value error, ")
        # Where several fields contradict each other the input is the whole section, and the message names them.
        whole = isinstance(item["input"], Mapping) and item["type"] == "value_error"
        problems.append(message if whole else f"'{name}' got {item['input']!r}: {message}")
        if item["type"] == "literal_error":
            words = [str(word) for kind in _alternatives(known[name].annotation) for word in get_args(kind)]
            meant.append(nearest(str(item["input"]).lower(), words, ""))


def _read(name: str, field: FieldInfo, value: str) -> Any:
    import yaml

    kinds = _alternatives(field.annotation)
    lists = any(get_origin(kind) is tuple for kind in kinds)
    try:
        # Words first: YAML reads 32 and 'on' as something else where a word is meant, and a path may be no YAML at all.
        if all(kind in (str, NoneType) or get_origin(kind) is Literal for kind in kinds):
            return None if NoneType in kinds and value.lower() in ("null", "none", "~", "") else value
        if lists:
            inner = value.strip().removeprefix("(").removesuffix(")")
            read = yaml.safe_load(f"[{inner}]" if "," in inner and not inner.startswith("[") else inner)
            return [read] if not isinstance(read, list) and int not in kinds else read
        return None if NoneType in kinds and value.lower() == "none" else yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigurationError(
            f"the value of '{name}' cannot be read", got=value, expected=accepted_by(field)[0]
        ) from None


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _spelled(annotation: Any, bounds: str) -> str:
    names = {str: "text", int: "whole number", float: "number", bool: "true | false", NoneType: "none"}
    words: list[str] = []
    for kind in _alternatives(annotation):
        if get_origin(kind) is Literal:
            words.extend(map(str, get_args(kind)))
        elif get_origin(kind) is tuple:
            words.append("list such as 1,2")
        else:
            words.append(
                f"{names.get(kind, str(kind))} {bounds}".strip() if kind in (int, float) else names.get(kind, str(kind))
            )
    return " | ".join(words)


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
