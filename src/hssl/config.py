"""The typed, validated configuration of a run. Imports no torch, so that the command line can answer at once.

A recipe (`hssl.experiments.recipes`) returns one of these; any field can be overridden by its dotted name.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hssl.errors import ConfigurationError, nearest

PAPER_SCALES = (1.0, 1.25, 1.33, 1.5, 1.66, 1.75)

Mode = Literal["a-ssl", "h-ssl", "hybrid", "frozen", "supervised"]
Transformation = Literal["translation", "rotation", "scale"]
SELF_SUPERVISED: tuple[Mode, ...] = ("a-ssl", "h-ssl", "hybrid")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataConfig(_Section):
    """Where the images come from and how they enter the store."""

    name: str = Field("digits", description="digits, mnist, cifar10, tiny-imagenet, folder, or hub:OWNER/NAME")
    root: str | None = Field(None, description="folder with the data; none: embedded (digits) or fetched from the hub")
    resolution: int = Field(29, ge=8, le=1024, description="height and width in pixels that the network sees")
    fit: Literal["pad", "resize"] = Field("pad", description="how an image gets to the resolution")
    resize_to: int | None = Field(None, ge=4, le=1024, description="resize to this many pixels before padding")
    normalize: Literal["unit", "standardize"] = Field(
        "unit", description="unit: x/255, black stays 0; standardize: zero mean and unit variance by channel"
    )
    train_images: int | None = Field(None, ge=2, description="use only this many training images, a seeded choice")
    test_images: int | None = Field(None, ge=2, description="use only this many test images, a seeded choice")
    test_fraction: float = Field(0.1, gt=0, lt=1, description="share held out where a source has no test split")
    strict: bool = Field(False, description="refuse a folder with an unreadable image instead of leaving the image out")
    grey: bool | None = Field(None, description="force one (true) or three (false) channels; none: as the images are")


class BackboneConfig(_Section):
    """The network f, appendix B of the paper."""

    name: Literal["three-layer", "resnet20-cifar10", "resnet20-tiny-imagenet", "mlp", "cnn-three-layer", "cnn-resnet20"] = (
        "three-layer"
    )
    width: float = Field(1.0, gt=0, le=4, description="factor on every channel count")
    basis: Literal["sesn", "untruncated"] = "sesn"
    full_extent: bool = Field(False, description="rotations: convolve over the whole cyclic group axis (p4)")
    circular: bool = Field(False, description="translations: circular padding, exact for shifts by the total stride")
    scales: tuple[float, ...] = Field(PAPER_SCALES, min_length=1, description="scale factors of a scale network")


class ViewsConfig(_Section):
    """Where positive pairs come from: g0, g1 and g2 (section 3 and appendix B)."""

    base_size: tuple[int, ...] | int = Field(
        1, description="|g0|: elements along the group axis, or (rows, columns) for translations"
    )
    joint: bool = Field(False, description="no spatial pooling: g0 lives on the joint group (e.g. rotation x position)")
    max_distance: float | None = Field(None, ge=0, description="largest distance between g1 and g2 (figure 2, right)")
    distance: Literal["euclidean", "topological"] = "euclidean"
    translation_strength: float = Field(0.2, ge=0, lt=1, description="A-SSL: largest shift, share of height and width")
    smallest_scale: float = Field(0.57, gt=0, le=1, description="A-SSL: strongest downscaling")
    scale_draw: Literal["continuous", "discrete"] = "continuous"

    @model_validator(mode="after")
    def _positive(self) -> "ViewsConfig":
        sizes = (self.base_size,) if isinstance(self.base_size, int) else self.base_size
        if not sizes or min(sizes) < 1:
            raise ValueError("every extent of g0 is at least 1")
        return self


class ObjectiveConfig(_Section):
    """The loss on projections; `contrastive` is the paper's equations 2 and 3."""

    name: Literal["contrastive", "nt_xent"] = "contrastive"
    temperature: float = Field(0.1, gt=0)


class OptimizerConfig(_Section):
    """LARS with linear warm-up and cosine decay (appendix B)."""

    learning_rate: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0)
    trust_coefficient: float = Field(1e-3, gt=0)
    warmup_epochs: float = Field(10, ge=0)


class TrainerConfig(_Section):
    """How long, how large and on what."""

    epochs: int = Field(500, ge=1)
    batch_size: int = Field(4096, ge=1, description="images a step over all devices and accumulated parts")
    accumulate: int = Field(1, ge=1, description="parts a step is computed in (negatives come from the own part only)")
    precision: Literal["auto", "32", "64", "bf16", "fp16"] = "auto"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(1, ge=1)
    nodes: int = Field(1, ge=1)
    checkpoint_every_epochs: int = Field(1, ge=1)
    evaluate_every_epochs: int | None = Field(None, ge=1, description="readout on the test set while training; none: at the end")
    threads: int | None = Field(None, ge=1, description="CPU threads; none: as torch chooses")


class EvaluationConfig(_Section):
    """The readout of the paper and the probes beside it."""

    readout: Literal["alongside", "afterwards"] = "alongside"
    readout_epochs: int = Field(20, ge=1, description="epochs of a readout that is trained afterwards")
    knn_neighbours: int = Field(20, ge=1)
    linear_probe_images: int = Field(10_000, ge=10, description="training images at most for the logistic regression")
    equivariance_images: int = Field(16, ge=1)


class Config(_Section):
    """One run. `identity()` names it: two runs with the same identity compute the same numbers."""

    recipe: str = "custom"
    budget: Literal["smoke", "quick", "paper"] = "paper"
    mode: Mode = "h-ssl"
    transformation: Transformation = "scale"
    seed: int = Field(0, ge=0, lt=2**31)
    data: DataConfig = DataConfig()
    backbone: BackboneConfig = BackboneConfig()
    views: ViewsConfig = ViewsConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    trainer: TrainerConfig = TrainerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    def identity(self) -> str:
        """A hash over every field that can change a number. Where the data lies on disk is not one of them."""
        tree = self.model_dump(mode="json")
        tree["data"].pop("root")
        return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


def fields_of(section: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every dotted field name with its description."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields_of(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field.description or ""


def override(config: Config, changes: Mapping[str, Any]) -> Config:
    """`config` with fields replaced by dotted name; strings are parsed as YAML values.

    Raises:
        ConfigurationError: an unknown field (the nearest known one is named) or a value out of range.
    """
    import yaml

    known = [name for name, _ in fields_of()]
    tree = config.model_dump(mode="python")
    for name, value in changes.items():
        if name not in known:
            raise ConfigurationError(
                f"there is no field '{name}' in the configuration", arrived=f"--{name} {value}", remedy=nearest(name, known)
            )
        *path, last = name.split(".")
        place = tree
        for part in path:
            place = place[part]
        if isinstance(value, str):
            try:
                value = yaml.safe_load(value)
            except yaml.YAMLError as error:
                raise ConfigurationError(f"the value of '{name}' cannot be read", arrived=value) from error
            # YAML has no bare exponent floats ('1e-3' is a string) and reads 32 as a number where a word is meant.
            if _wants_text(name):
                value = None if value is None else str(changes[name])
        place[last] = value
    return parse(tree)


def parse(tree: Mapping[str, Any]) -> Config:
    """A validated configuration from nested mappings (a `config.yaml`).

    Raises:
        ConfigurationError: with every field that does not fit, what arrived and what is accepted.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        problems = [
            f"'{'.'.join(str(part) for part in item['loc'] if not str(part).startswith(('tuple', 'int')))}' "
            f"got {item['input']!r}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        ]
        known = [name for name, _ in fields_of()]
        unknown = [".".join(map(str, item["loc"])) for item in error.errors() if item["type"] == "extra_forbidden"]
        raise ConfigurationError(
            "the configuration does not hold: " + "; ".join(dict.fromkeys(problems)),
            remedy=nearest(unknown[0], known) if unknown else "hssl recipes --fields lists every field",
        ) from None


def _wants_text(name: str) -> bool:
    section: type[BaseModel] = Config
    *path, last = name.split(".")
    for part in path:
        section = section.model_fields[part].annotation  # type: ignore[assignment]
    field = section.model_fields[last]
    choices = getattr(field.annotation, "__args__", (field.annotation,))
    return all(choice in (str, type(None)) or isinstance(choice, str) for choice in choices)


def differences(old: Config, new: Config) -> list[str]:
    """One line for each field in which two configurations differ (where the data lies is left out)."""
    left, right = dict(_flatten(old.model_dump(mode="json"))), dict(_flatten(new.model_dump(mode="json")))
    return [
        f"{name}: {left.get(name)!r} there, {right.get(name)!r} asked"
        for name in sorted(left.keys() | right.keys())
        if name != "data.root" and left.get(name) != right.get(name)
    ]


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
