"""Recipes: names, the settings of appendix B, and that a budget never changes the method."""

import pytest

from hssl.config import Config, parse
from hssl.errors import ConfigurationError
from hssl.paper import numbers as paper
from hssl.paper.recipes import (
    MODES,
    STEMS,
    describe,
    find_stem,
    recipe,
    recipe_name,
    recipe_names,
    stem_names,
)

DATASETS = ("digits", "mnist", "cifar10", "tiny-imagenet", "folder")
CONTROLS = ("mnist-translation-mlp", "mnist-scale-cnn", "cifar10-scale-cnn")
RESOLUTIONS = {  # (fit, pixels), or for digits the pixels before padding
    "digits-rotation": ("pad", 25),
    "digits-translation": ("pad", 28),
    "digits-scale": ("pad", 28),
    "mnist-rotation": ("pad", 29),
    "mnist-translation": ("pad", 32),
    "mnist-scale": ("pad", 32),
    "mnist-translation-mlp": ("pad", 28),
    "mnist-scale-cnn": ("pad", 32),
    "cifar10-rotation": ("resize", 25),
    "cifar10-translation": ("resize", 28),
    "cifar10-scale": ("resize", 28),
    "cifar10-scale-cnn": ("resize", 28),
    "tiny-imagenet-rotation": ("resize", 25),
    "tiny-imagenet-translation": ("resize", 32),
    "tiny-imagenet-scale": ("resize", 32),
    "folder-rotation": ("resize", 65),
    "folder-translation": ("resize", 64),
    "folder-scale": ("resize", 64),
}
# What a budget may scale. Everything else is the method.
SCALED = {
    ("budget",),
    ("trainer", "epochs"),
    ("evaluation", "readout"),
    ("trainer", "batch_size"),
    ("optimizer", "learning_rate"),
    ("optimizer", "warmup_epochs"),
    ("backbone", "width"),
    ("data", "train_images"),
    ("data", "test_images"),
    ("evaluation", "labelled_images"),
    ("optimizer", "name"),
    ("views", "max_distance"),
    # What is computed beside the fibers that are read, and so the statistics: not which fibers those are.
    ("views", "streams"),
}


def test_the_names_are_every_data_set_transformation_and_mode_and_the_controls() -> None:
    rows = {f"{data}-{group}" for data in DATASETS for group in ("translation", "rotation", "scale")} | set(CONTROLS)
    assert set(stem_names()) == rows == set(RESOLUTIONS)
    assert set(recipe_names()) == {f"{row}-{suffix}" for row in rows for suffix in MODES}
    assert len(recipe_names()) == len(set(recipe_names())) == 72


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("budget", ["smoke", "quick", "paper"])
def test_a_recipe_holds_and_says_what_it_is(name: str, budget: str) -> None:
    config = recipe(name, budget)
    stem, _, suffix = name.rpartition("-")
    assert parse(config.model_dump()) == config
    assert (config.recipe, config.budget, config.mode) == (name, budget, MODES[suffix])
    assert config.transformation in stem
    assert stem.startswith(config.data.name)
    assert (config.data.fit, config.data.resolution) == RESOLUTIONS[stem]
    assert config.data.resize_to == (24 if config.data.name == "digits" else None)
    assert config.data.normalize == ("unit" if config.data.name in ("digits", "mnist") else "standardize")
    assert config.views.joint is False
    # Without structure A-SSL reads all slices at once, and H-SSL one of them.
    whole = {"mlp": 16, "cnn": 6}.get(stem.rpartition("-")[2], 1) if suffix == "assl" else 1
    places = config.transformation == "translation" and "mlp" not in name
    assert config.views.base_size == ((1, 1) if places else whole)


@pytest.mark.parametrize("stem", stem_names())
def test_the_modes_of_a_row_differ_in_nothing_but_the_mode(stem: str) -> None:
    configs = [recipe(f"{stem}-{suffix}", "quick") for suffix in MODES]
    # Only views can sample streams, and only H-SSL pairs places: the other modes have none.
    leaving = {"method", "recipe", "views"}
    trees = [config.model_dump(exclude=leaving) for config in configs]
    assert all(tree == trees[0] for tree in trees)


@pytest.mark.parametrize("name", recipe_names())
def test_streams_are_sampled_where_views_read_few_and_nothing_reads_all(name: str) -> None:
    samples = ("rotation" in name or "scale" in name) and name.endswith("ssl") and "cnn" not in name
    for budget in ("smoke", "quick"):
        config = recipe(name, budget)
        assert getattr(config.views, "streams", "all") == ("sampled" if samples else "all")
        assert config.samples_streams is samples
        assert not samples or config.evaluation.readout == "afterwards"
        assert config.without_effect() == ()
    # The paper's own computation.
    assert recipe(name).views.streams == "all"
    assert recipe(name).samples_streams is False


def leaves(config: Config) -> dict[tuple[str, ...], object]:
    found: dict[tuple[str, ...], object] = {}
    for name, value in config.model_dump().items():
        inner = value.items() if isinstance(value, dict) else ()
        found.update({(name, key): leaf for key, leaf in inner} if inner else {(name,): value})
    return found


@pytest.mark.parametrize("stem", stem_names())
@pytest.mark.parametrize("budget", ["smoke", "quick", "long"])
def test_a_budget_never_changes_the_method(stem: str, budget: str) -> None:
    full, less = leaves(recipe(f"{stem}-hssl")), leaves(recipe(f"{stem}-hssl", budget))
    changed = {name for name in full.keys() & less.keys() if full[name] != less[name]}
    # What LARS alone has, and what AdamW alone.
    assert {name for name in full.keys() ^ less.keys()} == {
        ("optimizer", field) for field in ("momentum", "trust_coefficient", "beta_1", "beta_2")
    }
    assert {("budget",), ("trainer", "epochs"), ("optimizer", "name")} <= changed <= SCALED
    assert (("views", "max_distance") in changed) == (isinstance(full["views", "base_size"], tuple))


@pytest.mark.parametrize("budget", ["smoke", "quick", "long", "paper"])
def test_short_budgets_pair_near_places_of_translations_alone(budget: str) -> None:
    near = {
        name: distance
        for name in recipe_names()
        if (distance := getattr(recipe(name, budget).views, "max_distance", None)) is not None
    }
    of_positions = {f"{stem}-hssl" for stem in stem_names() if stem.endswith("translation")}
    assert near == ({} if budget == "paper" else dict.fromkeys(of_positions, 2.0))


def test_short_budgets_train_with_adamw_and_the_paper_with_lars_at_its_rate() -> None:
    for budget in ("smoke", "quick", "long"):
        assert {recipe(name, budget).optimizer.name for name in recipe_names()} == {"adamw"}
    for name in recipe_names():
        optimizer = recipe(name, "paper").optimizer
        assert (optimizer.name, optimizer.learning_rate, optimizer.norm_learning_rate) == ("lars", 0.1, None)
        assert (optimizer.momentum, optimizer.trust_coefficient, optimizer.weight_decay) == (0.9, 1e-3, 1e-4)


@pytest.mark.parametrize(
    ("stem", "backbone"),
    [
        ("digits-scale", "three-layer"),
        ("mnist-rotation", "three-layer"),
        ("mnist-translation-mlp", "mlp"),
        ("mnist-scale-cnn", "cnn-three-layer"),
        ("cifar10-scale", "resnet20-cifar10"),
        ("cifar10-scale-cnn", "cnn-resnet20"),
        ("tiny-imagenet-rotation", "resnet20-tiny-imagenet"),
        ("folder-rotation", "resnet20-cifar10"),
    ],
)
def test_appendix_b(stem: str, backbone: str) -> None:
    config = recipe(f"{stem}-hssl")
    assert config.backbone.name == backbone
    assert config.backbone.width == (0.25 if "folder" in stem else 1)
    assert config.trainer.epochs == (500 if config.data.name in ("mnist", "digits") else 1300)
    assert config.method.temperature == 0.1
    assert config.optimizer.weight_decay == 1e-4
    assert config.optimizer.warmup_epochs == 10
    if config.data.name not in ("digits", "folder"):
        assert (config.trainer.batch_size, config.optimizer.learning_rate) == (4096, 0.1)


@pytest.mark.parametrize("stem", [stem for stem in stem_names() if "rotation" in stem])
def test_rotation_recipes_have_sizes_at_which_quarter_turns_are_exact(stem: str) -> None:
    """A layer of stride 2, kernel 7, padding 3 is exact where its input is odd; then (N + 1) / 2 pixels are left."""
    config = recipe(f"{stem}-hssl")
    pixels = config.data.resolution
    for _ in range(3 if "tiny" in config.backbone.name else 2):
        assert pixels % 2 == 1
        pixels = (pixels + 1) // 2


def test_every_row_of_the_paper_has_a_recipe_and_no_recipe_claims_another() -> None:
    rows = {cell[:3] for cell in paper.NUMBERS}
    assert {stem.row for stem in STEMS.values() if stem.row} == rows
    for stem in STEMS.values():
        assert stem.row is None or (stem.name.startswith(stem.row[0]) and stem.row[1] in stem.name)


@pytest.mark.parametrize("stem", stem_names())
def test_the_docstring_of_a_recipe_states_the_papers_numbers(stem: str) -> None:
    doc = STEMS[stem].configure.__doc__ or ""
    cards = [describe(recipe_name(stem, mode)) for mode in MODES.values()]
    if cards[0].expected is None:
        assert "Not in the paper" in doc
        return
    words = ("A-SSL", "H-SSL", "frozen", "supervised")
    assert ", ".join(f"{word} {card.expected}" for word, card in zip(words, cards, strict=True)) in doc
    assert f"table {cards[0].expected.table}" in doc
    assert f"{cards[0].gpu_hours} GPU-hours" in doc


def test_a_card_tells_source_cost_expected_number_and_command() -> None:
    card = describe("cifar10-scale-cnn-hssl")
    assert (card.stem, card.mode, card.source) == ("cifar10-scale-cnn", "h-ssl", "table 2, CNN (6 x CHW)")
    assert str(card.expected) == "37.5 ± 0.1"
    assert card.gpu_hours == 640
    assert card.minutes == {"smoke": 1, "quick": 3, "long": 20}
    assert card.command == "hssl train cifar10-scale-cnn-hssl --budget quick --out runs/cifar10-scale-cnn-hssl"
    assert describe("mnist-scale-assl").gpu_hours == 8


def test_a_card_of_an_experiment_that_the_paper_lacks_says_so() -> None:
    for name in ("digits-scale-hssl", "tiny-imagenet-translation-assl", "folder-rotation-hssl"):
        card = describe(name)
        assert (card.expected, card.gpu_hours, card.source) == (None, None, "not in the paper")
    assert "--data.root DIR" in describe("folder-rotation-hssl").command
    assert "--data.root" not in describe("digits-scale-hssl").command


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnist-scale-hsl", "did you mean 'mnist-scale-hssl'?"),
        ("mnist", "'hssl recipes mnist' lists those of mnist, e.g. mnist-translation-assl"),
        ("mnist-scale", "add a mode: mnist-scale-assl"),
        ("zzzz", "hssl recipes lists them"),
        ("", "hssl recipes lists them"),
    ],
)
def test_an_unknown_recipe_is_refused_with_the_nearest(name: str, words: str) -> None:
    for ask in (recipe, describe):
        with pytest.raises(ConfigurationError) as caught:
            ask(name)
        assert words in str(caught.value)
        assert len(str(caught.value)) < 300


def test_an_unknown_budget_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"no budget 'tiny'\n.*smoke, quick, long, paper"):
        recipe("mnist-scale-hssl", "tiny")


def test_stems_and_modes_make_names() -> None:
    assert recipe_name("mnist-translation-mlp", "supervised") == "mnist-translation-mlp-supervised"
    with pytest.raises(ConfigurationError, match=r"--views\.name hybrid"):
        recipe_name("mnist-scale", "hybrid")
    with pytest.raises(ConfigurationError, match="leave the mode out: 'mnist-scale'"):
        find_stem("mnist-scale-hssl")
    with pytest.raises(ConfigurationError, match="did you mean 'digits-scale'"):
        find_stem("digits-scal")
