"""The typed, validated configuration of a run. Imports no torch, so that the command line can answer at once.

A recipe (`hssl.paper.recipes`) returns one of these; any field can be overridden by its dotted name.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from hssl.errors import ConfigurationError, nearest

PAPER_SCALES = (1.0, 1.25, 1.33, 1.5, 1.66, 1.75)

Mode = Literal["a-ssl", "h-ssl", "hybrid", "frozen", "supervised"]
Transformation = Literal["translation", "rotation", "scale"]
BudgetName = Literal["smoke", "quick", "long", "paper"]
SELF_SUPERVISED: tuple[Mode, ...] = ("a-ssl", "h-ssl", "hybrid")

# Fields that change no number: where the images lie and how they are kept.
_WITHOUT_NUMBERS = ("data.root", "data.store")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


class DataConfig(_Section):
    """Where the images come from and how they enter the store."""

    name: str = Field(default="digits", description="digits, mnist, cifar10, tiny-imagenet, folder, or hub:OWNER/NAME")
    root: str | None = Field(
        default=None,
        description="folder with the data; none: embedded (digits), a sub-folder of HSSL_DATA, or fetched from the hub",
    )
    resolution: int = Field(default=29, ge=8, le=1024, description="height and width in pixels that the network sees")
    fit: Literal["pad", "resize"] = Field(default="pad", description="how an image gets to the resolution")
    resize_to: int | None = Field(default=None, ge=4, le=1024, description="resize to this many pixels before padding")
    normalize: Literal["unit", "standardize"] = Field(
        default="unit", description="unit: x/255, black stays 0; standardize: zero mean and unit variance by channel"
    )
    train_images: int | None = Field(
        default=None, ge=2, description="use only this many training images, a fixed choice, the same for every seed"
    )
    test_images: int | None = Field(
        default=None, ge=2, description="use only this many test images, a fixed choice, the same for every seed"
    )
    test_fraction: float = Field(default=0.1, gt=0, lt=1, description="share held out where a source has no test split")
    validation_images: int | None = Field(
        default=None,
        ge=1,
        description="measure on this many images held out of the training set, the same for every seed, instead of on "
        "the test images: for choosing settings",
    )
    strict: bool = Field(
        default=False, description="refuse a folder with an unreadable image instead of leaving the image out"
    )
    grey: bool | None = Field(
        default=None, description="force one (true) or three (false) channels; none: as the images are"
    )
    store: Literal["auto", "memory", "mapped"] = Field(
        default="auto",
        description="mapped: decoded to a file in HSSL_CACHE (~/.cache/hssl) and read batch by batch; auto: memory, "
        "unless the images would take more than half of what is left",
    )


class BackboneConfig(_Section):
    """The network f, appendix B of the paper."""

    name: Literal[
        "three-layer", "resnet20-cifar10", "resnet20-tiny-imagenet", "mlp", "cnn-three-layer", "cnn-resnet20"
    ] = Field(default="three-layer", description="the architecture; mlp and cnn-* are the controls without structure")
    width: float = Field(default=1.0, gt=0, le=4, description="factor on every channel count")
    basis: Literal["sesn", "untruncated"] = Field(
        default="sesn", description="sesn: the paper's fixed grid; untruncated: the kernel grows with the scale"
    )
    full_extent: bool = Field(default=False, description="rotations: convolve over the whole cyclic group axis (p4)")
    circular: bool = Field(
        default=False, description="translations: circular padding, exact for shifts by the total stride"
    )
    scales: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=PAPER_SCALES, min_length=1, description="scale factors of a scale network"
    )
    plan: Literal["auto", "measured", "plain", "direct", "cropped", "separable", "fourier"] = Field(
        default="auto", description="how steerable layers are computed; all give the same numbers but for rounding"
    )
    reading: Literal["grouped", "shared-trunk"] = Field(
        default="grouped",
        description="cnn-*: streams apart from the first layer on, as in the steerable networks, or from the last one",
    )


class ViewsConfig(_Section):
    """Where positive pairs come from: g0, g1 and g2 (section 3 and appendix B)."""

    base_size: tuple[int, ...] | int = Field(
        default=1, description="|g0|: elements along the group axis, or (rows, columns) for translations"
    )
    joint: bool = Field(
        default=False, description="no spatial pooling: g0 lives on the joint group (e.g. rotation x position)"
    )
    max_distance: float | None = Field(
        default=None, ge=0, description="largest distance between g1 and g2 (figure 2, right)"
    )
    distance: Literal["euclidean", "topological"] = Field(
        default="euclidean", description="how max_distance is measured; euclidean is the paper's"
    )
    translation_strength: float = Field(
        default=0.2, ge=0, lt=1, description="A-SSL: largest shift, share of height and width"
    )
    smallest_scale: float = Field(default=0.57, gt=0, le=1, description="A-SSL: strongest downscaling")
    scale_draw: Literal["continuous", "discrete"] = Field(
        default="continuous", description="A-SSL: any downscaling, or only the inverse scale factors of the group"
    )
    streams: Literal["all", "sampled"] = Field(
        default="all",
        description="sampled: compute only the rotations or scales that a pair reads, three to six times less work; "
        "all: the paper's own computation",
    )

    @field_validator("base_size")
    @classmethod
    def _positive(cls, value: tuple[int, ...] | int) -> tuple[int, ...] | int:
        sizes = (value,) if isinstance(value, int) else value
        if not sizes or min(sizes) < 1:
            raise ValueError("every extent of g0 is at least 1")
        return value


class ObjectiveConfig(_Section):
    """The loss on projections; `contrastive` is the paper's equations 2 and 3."""

    name: Literal["contrastive", "nt_xent"] = Field(
        default="contrastive", description="contrastive: the positive pair is not in the denominator; nt_xent: SimCLR's"
    )
    temperature: float = Field(default=0.1, gt=0, description="tau, the temperature of the softmax")


class OptimizerConfig(_Section):
    """The optimizer, with linear warm-up and cosine decay; LARS is the paper's (appendix B)."""

    name: Literal["lars", "adamw", "sgd"] = Field(
        default="lars", description="lars: the paper's, for thousands of steps; adamw: learns in hundreds"
    )
    learning_rate: float = Field(default=0.1, gt=0, description="the peak, reached at the end of the warm-up")
    norm_learning_rate: float | None = Field(
        default=None, gt=0, description="the peak for biases and norms; none: learning_rate"
    )
    momentum: float = Field(
        default=0.9, ge=0, lt=1, description="lars, sgd: share of the last step kept in the next; adamw: beta 1"
    )
    weight_decay: float = Field(
        default=1e-4, ge=0, description="not applied to biases and norms; adamw: decoupled from the gradient"
    )
    trust_coefficient: float = Field(
        default=1e-3, gt=0, description="lars: share of a layer's norm that a step of rate 1 moves it"
    )
    warmup_epochs: float = Field(default=10, ge=0, description="epochs of linear warm-up")


class TrainerConfig(_Section):
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


class EvaluationConfig(_Section):
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


class Config(_Section):
    """One run. `identity()` names it: two runs with the same identity compute the same numbers."""

    recipe: str = Field(default="custom", description="the recipe that the run started from")
    budget: BudgetName = Field(default="paper", description="the budget that the recipe was scaled to")
    mode: Mode = Field(default="h-ssl", description="where the signal comes from; hybrid: both kinds of view at once")
    transformation: Transformation = Field(default="scale", description="the group of the network and of the views")
    seed: int = Field(default=0, ge=0, lt=2**31, description="weights, order, views and choice of images")
    data: DataConfig = DataConfig()
    backbone: BackboneConfig = BackboneConfig()
    views: ViewsConfig = ViewsConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    trainer: TrainerConfig = TrainerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _enough_in_a_part(self) -> "Config":
        if self.trainer.batch_size < 2 * self.trainer.accumulate:
            lacking = "negatives" if self.mode in SELF_SUPERVISED else "BatchNorm statistics"
            raise ValueError(
                f"'trainer.batch_size' {self.trainer.batch_size} leaves no {lacking}: "
                f"at least 2 images for each of the 'trainer.accumulate' {self.trainer.accumulate} part(s) are needed"
            )
        return self

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
            self.views.streams == "sampled"
            and self.mode in SELF_SUPERVISED
            and self.transformation in ("rotation", "scale")
            and self.backbone.name in ("three-layer", "resnet20-cifar10", "resnet20-tiny-imagenet")
            and not self.views.joint
            and not self.backbone.full_extent
        )

    def without_effect(self) -> tuple[str, ...]:
        """One line for every setting of the views that was changed and that this mode or transformation never reads."""
        moves = self.mode in ("h-ssl", "hybrid")
        transforms = self.mode in ("a-ssl", "hybrid")
        reads = {
            "base_size": self.mode in SELF_SUPERVISED,
            "joint": self.mode in SELF_SUPERVISED,
            "max_distance": moves,
            "distance": moves and self.views.max_distance is not None,
            "translation_strength": transforms and self.transformation == "translation",
            "smallest_scale": transforms and self.transformation == "scale",
            "scale_draw": transforms and self.transformation == "scale",
            "streams": self.samples_streams,
        }
        asked = self.views.model_dump()
        if asked["base_size"] == (1, 1):  # as recipes spell a single element where features lie on a grid
            asked["base_size"] = 1
        usual = ViewsConfig().model_dump()
        where = f"mode {self.mode}, transformation {self.transformation}"
        return tuple(
            f"views.{name} {asked[name]} has no effect here: {where}"
            for name, read in reads.items()
            if not read and asked[name] != usual[name]
        )


def fields_of(section: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every dotted field name with its description."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields_of(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field.description or ""


def accepted_of(name: str) -> tuple[str, str]:
    """What the field of that dotted name accepts and its default, both for people: ('auto | cpu | gpu', 'auto')."""
    field = _field(name)
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

    Raises:
        ConfigurationError: an unknown field (the nearest known one is named) or a value out of range.
    """
    known = [name for name, _ in fields_of()]
    tree = config.model_dump(mode="python")
    for name, value in changes.items():
        if name not in known:
            inside = [field for field in known if field.startswith(f"{name}.")]
            raise ConfigurationError(
                f"'{name}' is a section of the configuration, not a field"
                if inside
                else f"there is no field '{name}' in the configuration",
                got=f"--{name} {value}".rstrip(),
                hint=f"choose one of: {', '.join(inside)}"
                if inside
                else nearest(name, known, "hssl recipes --fields lists every field"),
            )
        *path, last = name.split(".")
        place = tree
        for part in path:
            place = place[part]
        place[last] = _read(name, value) if isinstance(value, str) else value
    return parse(tree)


def parse(tree: Mapping[str, Any]) -> Config:
    """A validated configuration from nested mappings (a `config.yaml`).

    Raises:
        ConfigurationError: with every field that does not fit, what it got and what is expected.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        problems, unknown, meant = [], [], []
        known = [name for name, _ in fields_of()]
        for item in error.errors():
            # A union reports each of its alternatives under a part of its own: 'tuple[int, ...]', 'int'.
            name = ".".join(
                str(part) for part in item["loc"] if not str(part).startswith(("tuple", "int", "constrained-"))
            )
            if item["type"] == "extra_forbidden":
                unknown.append(name)
                problems.append(f"there is no field '{name}'")
                continue
            message = item["msg"].removeprefix("Value error, ")
            # Where several fields contradict each other the input is the whole section, and the message names them.
            whole = isinstance(item["input"], Mapping) and item["type"] == "value_error"
            problems.append(message if whole else f"'{name}' got {item['input']!r}: {message}")
            if item["type"] == "literal_error":
                meant.append(nearest(str(item["input"]).lower(), _words(name), ""))
        hint = "hssl recipes --fields lists every field"
        close = next((words for words in meant if words), hint)
        raise ConfigurationError(
            "the configuration does not hold: " + "; ".join(dict.fromkeys(problems)),
            hint=nearest(unknown[0], known, hint) if unknown else close,
        ) from None


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


def _read(name: str, value: str) -> Any:
    import yaml

    kinds = _alternatives(_field(name).annotation)
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
            f"the value of '{name}' cannot be read", got=value, expected=accepted_of(name)[0]
        ) from None


def _field(name: str) -> FieldInfo:
    section: type[BaseModel] = Config
    *path, last = name.split(".")
    for part in path:
        inner = section.model_fields[part].annotation
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        section = inner
    return section.model_fields[last]


def _words(name: str) -> list[str]:
    """The words that a field accepts."""
    kinds = _alternatives(_field(name).annotation)
    return [str(word) for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]


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
            words.append(f"{names[kind]} {bounds}".strip() if kind in (int, float) else names[kind])
    return " | ".join(words)


def differences(old: Config, new: Config) -> list[str]:
    """One line for each field in which two configurations differ (where and how the data is kept is left out)."""
    left, right = dict(_flatten(old.model_dump(mode="json"))), dict(_flatten(new.model_dump(mode="json")))
    return [
        f"{name}: {left.get(name)!r} there, {right.get(name)!r} asked"
        for name in sorted(left.keys() | right.keys())
        if name not in _WITHOUT_NUMBERS and left.get(name) != right.get(name)
    ]


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
