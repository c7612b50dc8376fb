"""Recipes: a run is a function that returns its whole configuration. Imports no torch.

Each function below is one row of table 1 or 2 of Keller et al. 2023, or the same experiment on other images. Its name
is the recipe's stem; with a mode it is a recipe: `mnist-scale` and `hssl` make `mnist-scale-hssl`.

    hssl train mnist-scale-hssl --out runs/mnist-scale-hssl

Settings that all share (appendix B): LARS, learning rate 0.1 after 10 epochs of linear warm-up, cosine decay, weight
decay 1e-4, batch 4096, temperature 0.1, |g0| = 1. Where a stem is not a translation, features are pooled over space.
The paper states feature sizes and no input sizes: the resolutions here give the stated sizes, and exact quarter turns.
What a shorter budget than the paper's changes is in `hssl.paper.budgets`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeGuard

from hssl.backbones.settings import BackboneSettings
from hssl.config import CUSTOM, BudgetName, Config, EvaluationSettings, Mode, TrainerSettings, Transformation, override
from hssl.config import MODES as OF_MODE
from hssl.data.settings import DataSettings
from hssl.errors import ConfigurationError, nearest
from hssl.groups.settings import RotationsSettings, ScalesSettings, TranslationsSettings
from hssl.methods.settings import ContrastiveSettings
from hssl.paper import budgets
from hssl.paper import numbers as paper
from hssl.paper.budgets import BUDGET_NAMES, BUDGETS, Workload
from hssl.parts import settings_class
from hssl.views.settings import FiberViewsSettings

MODES: Mapping[str, Mode] = MappingProxyType(
    {"assl": "a-ssl", "hssl": "h-ssl", "frozen": "frozen", "supervised": "supervised"}
)
"""The last word of a recipe's name, and the mode that it stands for: the four columns of tables 1 and 2."""


def digits_translation(budget: BudgetName) -> Config:
    """Embedded digits, positions of an ordinary CNN. Not in the paper: MNIST's network on 1,797 small images."""
    return _digits("translation", 28, budget)


def digits_rotation(budget: BudgetName) -> Config:
    """Embedded digits, exact quarter turns at 25 pixels. Not in the paper: MNIST's network on 1,797 small images."""
    return _digits("rotation", 25, budget)


def digits_scale(budget: BudgetName) -> Config:
    """Embedded digits, six scales. Not in the paper: MNIST's network on 1,797 small images."""
    return _digits("scale", 28, budget)


def mnist_translation(budget: BudgetName) -> Config:
    """MNIST, positions of an ordinary CNN: table 1. 8 GPU-hours a run in the paper.

    Expected: A-SSL 95.9 ± 0.3, H-SSL 96.0 ± 1.3, frozen 94.1 ± 0.3, supervised 99.2 ± 0.1.
    """
    return _mnist("translation", 32, budget)


def mnist_rotation(budget: BudgetName) -> Config:
    """MNIST, quarter turns: table 1. 29 pixels make them exact. 8 GPU-hours a run in the paper.

    Expected: A-SSL 68.2 ± 2.5, H-SSL 70.3 ± 5.4, frozen 87.2 ± 0.8, supervised 99.4 ± 0.1.
    """
    return _mnist("rotation", 29, budget, workload="mnist-rotation")


def mnist_scale(budget: BudgetName) -> Config:
    """MNIST, six scales (SESN): table 1. 8 GPU-hours a run in the paper.

    Expected: A-SSL 98.6 ± 0.1, H-SSL 98.3 ± 0.2, frozen 94.7 ± 0.6, supervised 99.3 ± 0.1.
    """
    return _mnist("scale", 32, budget, workload="mnist-scale")


def mnist_translation_mlp(budget: BudgetName) -> Config:
    """MNIST, translations seen by an MLP of 16 x 128 features, a group axis in name only: table 2. 8 GPU-hours a run.

    Expected: A-SSL 87.6 ± 0.2, H-SSL 58.2 ± 0.5, frozen 83.0 ± 0.8, supervised 98.6 ± 0.1.
    """
    return _mnist("translation", 28, budget, backbone="mlp", workload="mnist-mlp")


def mnist_scale_cnn(budget: BudgetName) -> Config:
    """MNIST, scales seen by a CNN of six times the width (6 x CHW), without structure: table 2. 8 GPU-hours a run.

    Expected: A-SSL 95.2 ± 0.1, H-SSL 87.2 ± 2.4, frozen 87.2 ± 0.6, supervised 99.3 ± 0.1.
    """
    return _mnist("scale", 32, budget, backbone="cnn-three-layer", workload="mnist-cnn")


def cifar10_translation(budget: BudgetName) -> Config:
    """CIFAR-10, positions of an ordinary ResNet20: table 1. 640 GPU-hours a run in the paper.

    Expected: A-SSL 39.2 ± 0.5, H-SSL 36.3 ± 1.1, frozen 40.4 ± 0.2, supervised 76.2 ± 1.4.
    """
    return _resized("cifar10", "cifar10", "translation", 28, budget)


def cifar10_rotation(budget: BudgetName) -> Config:
    """CIFAR-10, quarter turns: table 1. 25 pixels make them exact. 640 GPU-hours a run in the paper.

    Expected: A-SSL 46.1 ± 0.6, H-SSL 48.3 ± 0.5, frozen 38.4 ± 0.1, supervised 73.0 ± 1.1.
    """
    return _resized("cifar10", "cifar10", "rotation", 25, budget)


def cifar10_scale(budget: BudgetName) -> Config:
    """CIFAR-10, six scales (SESN): table 1. 640 GPU-hours a run in the paper.

    Expected: A-SSL 59.4 ± 0.2, H-SSL 56.7 ± 0.4, frozen 41.1 ± 0.6, supervised 78.0 ± 0.2.
    """
    return _resized("cifar10", "cifar10", "scale", 28, budget)


def cifar10_scale_cnn(budget: BudgetName) -> Config:
    """CIFAR-10, scales seen by a ResNet20 of six times the width (6 x CHW): table 2. 640 GPU-hours a run.

    Expected: A-SSL 53.6 ± 0.2, H-SSL 37.5 ± 0.1, frozen 43.6 ± 0.3, supervised 67.9 ± 2.1.
    """
    return _resized("cifar10-cnn", "cifar10", "scale", 28, budget, backbone="cnn-resnet20")


def tiny_imagenet_translation(budget: BudgetName) -> Config:
    """Tiny ImageNet, positions of an ordinary ResNet20. Not in the paper: 4 x 4 positions are too few for H-SSL."""
    return _resized("tiny-imagenet", "tiny-imagenet", "translation", 32, budget, backbone="resnet20-tiny-imagenet")


def tiny_imagenet_rotation(budget: BudgetName) -> Config:
    """Tiny ImageNet, quarter turns: table 1. 25 pixels make them exact. 640 GPU-hours a run in the paper.

    Expected: A-SSL 14.9 ± 0.3, H-SSL 13.5 ± 0.5, frozen 6.1 ± 0.2, supervised 22.5 ± 0.1.
    """
    return _resized("tiny-imagenet", "tiny-imagenet", "rotation", 25, budget, backbone="resnet20-tiny-imagenet")


def tiny_imagenet_scale(budget: BudgetName) -> Config:
    """Tiny ImageNet, six scales (SESN): table 1. 640 GPU-hours a run in the paper.

    Expected: A-SSL 16.2 ± 0.4, H-SSL 14.0 ± 1.3, frozen 6.4 ± 0.2, supervised 23.7 ± 0.2.
    """
    return _resized("tiny-imagenet", "tiny-imagenet", "scale", 32, budget, backbone="resnet20-tiny-imagenet")


def folder_translation(budget: BudgetName) -> Config:
    """Your own images (--data.root DIR), positions of a narrow ResNet20. Not in the paper."""
    return _resized("folder", "folder", "translation", 64, budget, width=0.25)


def folder_rotation(budget: BudgetName) -> Config:
    """Your own images (--data.root DIR), quarter turns, exact at 65 pixels, of a narrow ResNet20. Not in the paper."""
    return _resized("folder", "folder", "rotation", 65, budget, width=0.25)


def folder_scale(budget: BudgetName) -> Config:
    """Your own images (--data.root DIR), six scales of a narrow ResNet20. Not in the paper."""
    return _resized("folder", "folder", "scale", 64, budget, width=0.25)


def _digits(transformation: Transformation, resolution: int, budget: BudgetName) -> Config:
    data = DataSettings(name="digits", resolution=resolution, resize_to=24, test_fraction=budgets.DIGITS_TEST_FRACTION)
    return _config("digits", transformation, data, _network("three-layer"), budget)


def _mnist(
    transformation: Transformation,
    resolution: int,
    budget: BudgetName,
    backbone: Literal["three-layer", "mlp", "cnn-three-layer"] = "three-layer",
    workload: Workload = "mnist",
) -> Config:
    data = DataSettings(name="mnist", resolution=resolution)
    return _config(workload, transformation, data, _network(backbone), budget)


def _resized(
    workload: Workload,
    dataset: str,
    transformation: Transformation,
    resolution: int,
    budget: BudgetName,
    backbone: Literal["resnet20-cifar10", "resnet20-tiny-imagenet", "cnn-resnet20"] = "resnet20-cifar10",
    width: float = 1.0,
) -> Config:
    data = DataSettings(name=dataset, resolution=resolution, fit="resize", normalize="standardize")
    return _config(workload, transformation, data, _network(backbone, width), budget)


def _custom(budget: BudgetName) -> Config:
    """What a run that is put together part by part starts from: H-SSL of six scales on the embedded digits."""
    data = DataSettings(name="digits", resolution=29, fit="resize", test_fraction=budgets.DIGITS_TEST_FRACTION)
    return _config("digits", "scale", data, _network("three-layer"), budget)


def _network(name: str, width: float = 1.0) -> BackboneSettings:
    chosen = settings_class("backbone", name)(name=name)
    assert isinstance(chosen, BackboneSettings)
    return chosen.model_copy(update={"width": width})


def _config(
    workload: Workload,
    transformation: Transformation,
    data: DataSettings,
    backbone: BackboneSettings,
    budget: BudgetName,
) -> Config:
    spent = BUDGETS[budget][workload]
    spatial = transformation == "translation" and backbone.slices is None
    groups = {"translation": TranslationsSettings, "rotation": RotationsSettings, "scale": ScalesSettings}
    return Config(
        budget=budget,
        data=data.model_copy(update={"train_images": spent.train_images, "test_images": spent.test_images}),
        group=groups[transformation](),
        backbone=backbone.model_copy(update={"width": backbone.width * spent.width}),
        views=FiberViewsSettings(base_size=(1, 1) if spatial else 1),
        method=ContrastiveSettings(temperature=paper.TEMPERATURE),
        optimizer=(budgets.PAPER_OPTIMIZER if budget == "paper" else budgets.short_optimizer(workload)).model_copy(
            update={"warmup_epochs": budgets.warmup_epochs(workload, budget)}
        ),
        trainer=TrainerSettings(epochs=spent.epochs, batch_size=spent.batch_size),
        # A few hundred steps are too few for a readout to follow a network that moves (docs/decisions.md, 17).
        evaluation=EvaluationSettings(
            readout="alongside" if budget == "paper" else "afterwards", labelled_images=spent.labelled_images
        ),
    )


@dataclass(frozen=True)
class Stem:
    """A row of the paper's tables, or the same experiment on other images: everything of a recipe but its mode."""

    name: str
    configure: Callable[[BudgetName], Config]
    workload: Workload
    row: tuple[paper.Dataset, Transformation, paper.BackboneKind] | None

    @property
    def summary(self) -> str:
        """The first sentences of the recipe function's docstring."""
        return (self.configure.__doc__ or "").split("\n", maxsplit=1)[0]


STEMS: Mapping[str, Stem] = MappingProxyType(
    {
        stem.name: stem
        for stem in (
            Stem("digits-translation", digits_translation, "digits", None),
            Stem("digits-rotation", digits_rotation, "digits", None),
            Stem("digits-scale", digits_scale, "digits", None),
            Stem("mnist-translation", mnist_translation, "mnist", ("mnist", "translation", "CNN")),
            Stem("mnist-rotation", mnist_rotation, "mnist-rotation", ("mnist", "rotation", "Rot-Eq.")),
            Stem("mnist-scale", mnist_scale, "mnist-scale", ("mnist", "scale", "SESN")),
            Stem("mnist-translation-mlp", mnist_translation_mlp, "mnist-mlp", ("mnist", "translation", "MLP")),
            Stem("mnist-scale-cnn", mnist_scale_cnn, "mnist-cnn", ("mnist", "scale", "CNN (6 x CHW)")),
            Stem("cifar10-translation", cifar10_translation, "cifar10", ("cifar10", "translation", "CNN")),
            Stem("cifar10-rotation", cifar10_rotation, "cifar10", ("cifar10", "rotation", "Rot-Eq.")),
            Stem("cifar10-scale", cifar10_scale, "cifar10", ("cifar10", "scale", "SESN")),
            Stem("cifar10-scale-cnn", cifar10_scale_cnn, "cifar10-cnn", ("cifar10", "scale", "CNN (6 x CHW)")),
            Stem("tiny-imagenet-translation", tiny_imagenet_translation, "tiny-imagenet", None),
            Stem("tiny-imagenet-rotation", tiny_imagenet_rotation, "tiny-imagenet",
                 ("tiny-imagenet", "rotation", "Rot-Eq.")),
            Stem("tiny-imagenet-scale", tiny_imagenet_scale, "tiny-imagenet", ("tiny-imagenet", "scale", "SESN")),
            Stem("folder-translation", folder_translation, "folder", None),
            Stem("folder-rotation", folder_rotation, "folder", None),
            Stem("folder-scale", folder_scale, "folder", None),
        )
    }
)  # fmt: skip


@dataclass(frozen=True)
class RecipeCard:
    """What a reader wants to know of a recipe before running it."""

    name: str
    stem: str
    mode: Mode
    summary: str
    source: str
    gpu_hours: int | None
    """GPU-hours of the paper's run; none where the paper has no such run."""
    minutes: Mapping[BudgetName, float]
    """Upper estimates of a smoke and a quick run, on two CPU cores."""
    expected: paper.PaperNumber | None
    command: str


def recipe_names() -> tuple[str, ...]:
    """Every recipe, by stem in the paper's order and then by mode."""
    return tuple(f"{stem}-{suffix}" for stem in STEMS for suffix in MODES)


def stem_names() -> tuple[str, ...]:
    """Every recipe's name without its mode, in the paper's order."""
    return tuple(STEMS)


def recipe_name(stem: str, mode: Mode) -> str:
    """The recipe of a stem in a mode: ('mnist-scale', 'h-ssl') is 'mnist-scale-hssl'.

    Raises:
        ConfigurationError: no such stem (the nearest known one is named), or a mode that has no recipe.
    """
    suffixes = {known: suffix for suffix, known in MODES.items()}
    if mode not in suffixes:
        raise ConfigurationError(
            f"no recipe has the mode '{mode}'",
            expected=", ".join(suffixes),
            hint="name the views of another recipe: --views.name hybrid" if mode == "hybrid" else None,
        )
    return f"{find_stem(stem).name}-{suffixes[mode]}"


def find_stem(name: str) -> Stem:
    """The stem of that name.

    Raises:
        ConfigurationError: no such stem; the nearest known one is named.
    """
    if name in STEMS:
        return STEMS[name]
    inner = name.rpartition("-")[0]
    near = f"leave the mode out: '{inner}'" if inner in STEMS else nearest(name, STEMS, "hssl recipes lists them")
    raise ConfigurationError(f"there is no experiment '{name}'", hint=near)


def recipe(name: str, budget: str = "paper") -> Config:
    """The configuration of a recipe, or of `custom`, at a budget: 'paper', 'long', 'quick' or 'smoke'.

    Raises:
        ConfigurationError: no such recipe or budget; the nearest known one is named.
    """
    if not _is_budget(budget):
        raise ConfigurationError(f"there is no budget '{budget}'", expected=", ".join(BUDGET_NAMES))
    if name == CUSTOM:
        return _custom(budget)
    stem, mode = _split(name)
    config = override(stem.configure(budget), OF_MODE[mode]).model_copy(update={"recipe": name})
    views: dict[str, Any] = {}
    if mode == "a-ssl" and config.backbone.slices is not None:
        # Slices are 'emulated in the H-SSL setting': A-SSL reads the whole vector (docs/decisions.md, 12).
        views["base_size"] = config.backbone.slices
    elif budget != "paper" and config.method.takes_pairs:
        # The paper's own budget keeps its own computation, all streams and a readout alongside, and its own pairs.
        if config.group.has_streams and config.backbone.separates_streams:
            views["streams"] = "sampled"
        elif mode == "h-ssl" and isinstance(config.views.base_size, tuple):
            views["max_distance"] = budgets.NEAR
    return config.model_copy(update={"views": config.views.model_copy(update=views)})


def describe(name: str) -> RecipeCard:
    """The card of a recipe: source, cost, expected number, command.

    Raises:
        ConfigurationError: no such recipe; the nearest known one is named.
    """
    stem, mode = _split(name)
    expected = None if stem.row is None else paper.NUMBERS[(*stem.row, mode)]
    root = " --data.root DIR" if stem.workload == "folder" else ""
    minutes = {budget: rows[stem.workload].minutes for budget, rows in BUDGETS.items()}
    return RecipeCard(
        name=name,
        stem=stem.name,
        mode=mode,
        summary=stem.summary,
        source="not in the paper" if stem.row is None or expected is None else f"table {expected.table}, {stem.row[2]}",
        gpu_hours=None if stem.row is None else paper.GPU_HOURS[stem.row[0]],
        minutes=MappingProxyType({budget: value for budget, value in minutes.items() if value is not None}),
        expected=expected,
        command=f"hssl train {name} --budget quick{root} --out runs/{name}",
    )


def _is_budget(word: str) -> TypeGuard[BudgetName]:
    return word in BUDGET_NAMES


def _split(name: str) -> tuple[Stem, Mode]:
    inner, _, suffix = name.rpartition("-")
    if inner in STEMS and suffix in MODES:
        return STEMS[inner], MODES[suffix]
    if name in STEMS:
        raise ConfigurationError(
            f"'{name}' is not a whole recipe", hint=f"add a mode: {', '.join(f'{name}-{suffix}' for suffix in MODES)}"
        )
    some = [known for known in recipe_names() if known.startswith(f"{name}-")]
    raise ConfigurationError(
        f"there is no recipe '{name}'",
        hint=f"'hssl recipes {name}' lists those of {name}, e.g. {some[0]}"
        if some
        else nearest(name, recipe_names(), "hssl recipes lists them"),
    )
