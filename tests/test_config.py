"""The typed configuration: overriding by dotted name, messages, identity and files."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from hssl.config import (
    MODES,
    Config,
    Mode,
    accepted_by,
    differences,
    fields_of,
    fields_of_parts,
    load,
    override,
    override_where,
    parse,
)
from hssl.errors import ConfigurationError
from hssl.paper.recipes import recipe

RECORDS = Path(__file__).parents[1] / "results" / "quick" / "records"


def at(config: Config, name: str) -> Any:
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "3", 3),
        ("optimizer.learning_rate", "1e-3", 1e-3),
        ("optimizer.learning_rate", "2", 2.0),
        ("trainer.precision", "32", "32"),
        ("views.joint", "true", True),
        ("data.grey", "none", None),
        ("data.train_images", "none", None),
        ("data.train_images", "500", 500),
        ("data.root", "null", None),
        ("data.root", "2022", "2022"),
        ("data.root", "C: [odd", "C: [odd"),
        ("views.base_size", "3", 3),
        ("views.base_size", "2,3", (2, 3)),
        ("views.base_size", "(2, 3)", (2, 3)),
        ("views.base_size", "[2, 3]", (2, 3)),
        ("group.factors", "1,1.5", (1.0, 1.5)),
        ("group.factors", "[1, 2]", (1.0, 2.0)),
        ("group.factors", "1.5", (1.5,)),
        ("method.objective", "nt-xent", "nt-xent"),
    ],
)
def test_override_reads_words_as_the_field_means_them(name: str, text: str, value: object) -> None:
    changed = override(Config(), {name: text})
    assert at(changed, name) == value
    assert type(at(changed, name)) is type(value)


def test_override_changes_nothing_else_and_keeps_the_original() -> None:
    config = Config()
    changed = override(config, {"trainer.epochs": 7})
    assert config.trainer.epochs == 500
    assert differences(config, changed) == ["trainer.epochs: 500 there, 7 asked"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("optimizer.lrr", "0.1", ("no field 'optimizer.lrr'", "--optimizer.lrr 0.1", "optimizer.learning_rate")),
        ("learning_rate", "0.1", ("no field 'learning_rate'", "optimizer.learning_rate")),
        ("qqqqqq", "0.1", ("no field 'qqqqqq'", "hssl recipes --fields")),
        ("trainer", "1", ("'trainer' is a section", "trainer.epochs")),
        ("views", "1", ("are no views '1'", "fibers, inputs, hybrid")),
        ("optimizer.learning_rate", "-1", ("'optimizer.learning_rate' got -1", "greater than 0")),
        ("optimizer.learning_rate", "inf", ("'optimizer.learning_rate'", "finite")),
        ("optimizer.learning_rate", "nan", ("'optimizer.learning_rate'",)),
        ("optimizer.learning_rate", "fast", ("'optimizer.learning_rate' got 'fast'",)),
        ("optimizer.learning_rate", "[1", ("'optimizer.learning_rate' cannot be read", "[1")),
        ("seed", "1.5", ("'seed' got 1.5",)),
        ("views.name", "fiber", ("are no views 'fiber'", "did you mean 'fibers'?")),
        ("method.name", "simclr", ("no method 'simclr'", "contrastive, supervised, frozen, my_module:MyClass")),
        ("group", "c5", ("no group 'c5'", "translations, rotations")),
        (
            "backbone.reading",
            "shared-trunk",
            ("'three-layer' has no field 'reading'", "cnn-three-layer or cnn-resnet20"),
        ),
        ("data.resolution", "4", ("'data.resolution' got 4",)),
        ("group.factors", "1,-2", ("'group.factors.1' got -2",)),
        ("group.factors", "[]", ("'group.factors' got []",)),
        ("views.base_size", "0", ("'views.base_size' got 0", "at least 1")),
        ("views.base_size", "2,0", ("'views.base_size' got", "at least 1")),
        ("views.base_size", "wide", ("'views.base_size' got 'wide'",)),
        ("trainer.batch_size", "1", ("'trainer.batch_size' 1 leaves no negatives",)),
    ],
)
def test_a_bad_field_or_value_is_named_in_one_short_message(name: str, value: str, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        override(Config(), {name: value})
    message = str(caught.value)
    for word in words:
        assert word in message
    assert "{" not in message, "a whole section was printed as if it had been the input"
    assert len(message) < 500


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        override(Config(), {"seed": "-1", "trainer.epochs": "0"})
    assert "'seed' got -1" in str(caught.value)
    assert "'trainer.epochs' got 0" in str(caught.value)


@pytest.mark.parametrize(("batch", "parts", "mode"), [(2, 1, "h-ssl"), (8, 4, "a-ssl"), (2, 1, "supervised")])
def test_the_smallest_batches_that_are_legal(batch: int, parts: int, mode: Mode) -> None:
    changes = {"trainer.batch_size": batch, "trainer.accumulate": parts, **MODES[mode]}
    assert override(Config(), changes).trainer.batch_size == batch
    with pytest.raises(ConfigurationError, match=r"trainer\.batch_size"):
        override(Config(), {**changes, "trainer.batch_size": batch - 1})


def test_identity_follows_every_number_and_no_folder() -> None:
    config = Config()
    assert config.identity() == Config().identity()
    assert config.identity() == override(config, {"data.root": "/elsewhere"}).identity()
    for store in ("memory", "mapped"):
        assert config.identity() == override(config, {"data.store": store}).identity()
    for name, value in {"seed": 1, "optimizer.trust_coefficient": 0.01, "group.factors": (1.0, 2.0)}.items():
        assert config.identity() != override(config, {name: value}).identity()


def test_a_configuration_without_the_fields_that_came_later_is_read() -> None:
    tree = Config().model_dump(mode="json")
    del tree["views"]["streams"], tree["backbone"]["plan"]
    assert parse(tree) == Config()


SAMPLES = {"group": "c4", "views.streams": "sampled"}


@pytest.mark.parametrize(
    ("changes", "samples"),
    [
        ({}, True),
        (MODES["a-ssl"], True),
        ({**MODES["hybrid"], "group": "scales"}, True),
        ({"backbone.name": "resnet20-cifar10"}, True),
        ({"backbone.name": "resnet20-tiny-imagenet", "views.base_size": 2}, True),
        ({"backbone.plan": "plain"}, True),
        ({"views.streams": "all"}, False),
        (MODES["frozen"], False),
        (MODES["supervised"], False),
        ({"group": "translations"}, False),
        ({"group": "c4xscales"}, False),
        ({"backbone.name": "mlp"}, False),
        ({"backbone.name": "cnn-three-layer"}, False),
        ({"views.joint": True}, False),
        ({"backbone.full_extent": True}, False),
    ],
    ids=str,
)
def test_streams_are_sampled_where_there_are_some(changes: dict[str, object], samples: bool) -> None:
    config = override(Config(), SAMPLES | changes)
    assert config.samples_streams is samples
    silent = [line for line in config.without_effect() if line.startswith("views.streams sampled has no effect here")]
    assert len(silent) == (not samples and config.views.streams == "sampled")


def test_the_configuration_is_frozen_and_closed() -> None:
    with pytest.raises(ValidationError):
        Config().seed = 3  # type: ignore[misc]
    with pytest.raises(ConfigurationError, match=r"no field 'optimizer\.lr'"):
        parse({"optimizer": {"lr": 0.1}})


def test_differences_name_fields_and_both_values() -> None:
    new = override(Config(), {"data.root": "/elsewhere", "data.store": "mapped", "views.base_size": "2,2"})
    assert differences(Config(), new) == ["views.base_size: 1 there, [2, 2] asked"]
    assert differences(Config(), Config()) == []


def test_a_saved_configuration_is_read_back_whole(tmp_path: Path) -> None:
    config = override(Config(), {"views.base_size": "2,3", "data.root": "somewhere", "optimizer.learning_rate": 0.3})
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load(path) == config
    assert load(path).identity() == config.identity()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"a: [1", "is not YAML"),
        (b"- 1\n- 2\n", "holds no configuration"),
        (b"", "holds no configuration"),
        (b"seed: -3\n", "'seed' got -3"),
        (b"optimizer: 3\n", "'optimizer' got 3"),
        (b"sede: 3\n", "did you mean 'seed'?"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert words in str(caught.value)


def test_every_field_is_described_and_says_what_it_accepts() -> None:
    told = [(name, field) for name, _, field in fields_of_parts(Config()) if not name.endswith(".name")]
    assert len(told) > 60
    assert [name for name, field in told if not field.description] == []
    assert [name for name, field in told if not accepted_by(field)[0]] == []
    fields = fields_of()
    assert accepted_by(fields["views.distance"]) == ("euclidean | topological", "euclidean")
    assert accepted_by(fields["data.train_images"]) == ("whole number >= 2 | none", "none")
    assert accepted_by(fields["data.test_fraction"]) == ("number > 0 and < 1", "0.1")
    assert accepted_by(fields["data.strict"]) == ("true | false", "false")
    assert accepted_by(fields["group.factors"])[1] == "1.0,1.25,1.33,1.5,1.66,1.75"


def test_fields_say_which_parts_have_them() -> None:
    having = {(name, parts) for name, parts, _ in fields_of_parts(Config())}
    assert ("views.max_distance", "fibers, hybrid") in having
    assert ("views.base_size", "") in having
    assert ("backbone.reading", "cnn-three-layer, cnn-resnet20") in having
    assert ("seed", "") in having


def test_another_part_keeps_the_fields_that_it_shares() -> None:
    start = override(
        Config(), {"optimizer.learning_rate": 0.5, "backbone.width": 0.25, "backbone.basis": "untruncated"}
    )
    changed = override(start, {"optimizer.name": "adamw", "backbone.name": "mlp"})
    assert (changed.optimizer.learning_rate, changed.backbone.width) == (0.5, 0.25)
    assert not hasattr(changed.optimizer, "trust_coefficient")
    assert not hasattr(changed.backbone, "basis")


def test_a_word_stands_for_a_part_and_its_settings() -> None:
    assert override(Config(), {"group": "c4"}).group.name == "rotations"
    assert override(Config(), {"group": "D4"}).group.name == "dihedral"
    product = override(Config(), {"group": "d4xscales"}).group
    assert (product.name, product.first, product.second) == ("product", "dihedral", "scales")
    assert override(Config(), {"backbone": "mlp"}).backbone.name == "mlp"
    with pytest.raises(ConfigurationError, match=r"contradict[\s\S]*--group c4 and --group.name scales"):
        override(Config(), {"group": "c4", "group.name": "scales"})


def test_the_group_of_a_recipe_stays(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"mnist-scale-hssl is about scales[\s\S]*group.name rotations"):
        override(recipe("mnist-scale-hssl"), {"group": "c4"})
    assert override(recipe("mnist-scale-hssl"), {"group": "scales", "group.factors": "1,2"}).group.factors == (1.0, 2.0)


def test_several_runs_take_the_fields_that_they_have() -> None:
    changes = {"views.translation_strength": "0.1", "views.max_distance": "2"}
    moved, transformed = (override(Config(), MODES[mode]) for mode in ("h-ssl", "a-ssl"))
    assert override_where(moved, changes).views.max_distance == 2
    assert override_where(transformed, changes).views.translation_strength == 0.1
    with pytest.raises(ConfigurationError, match=r"no field 'views\.max_distanc'"):
        override_where(moved, {"views.max_distanc": "2"})
    with pytest.raises(ConfigurationError, match="has no field"):
        override(transformed, changes)


def test_a_configuration_from_before_parts_had_names_is_told_so() -> None:
    with pytest.raises(ConfigurationError, match="another version of hssl"):
        parse({"mode": "h-ssl", "transformation": "scale"})


def test_the_place_of_the_data_is_spelled_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for typed, meant in (("images", tmp_path / "images"), ("~/images", tmp_path / "home" / "images")):
        config = override(Config(), {"data.root": typed})
        assert config.with_absolute_root().data.root == str(meant.resolve())
        assert config.with_absolute_root().identity() == config.identity()
    assert Config().with_absolute_root() == Config()
    with pytest.raises(ConfigurationError, match="no such home folder"):
        override(Config(), {"data.root": "~nobody-of-that-name/x"}).with_absolute_root()


CHANGED = {
    "base_size": 2,
    "joint": True,
    "max_distance": 1.0,
    "distance": "topological",
    "translation_strength": 0.3,
    "smallest_scale": 0.7,
    "scale_draw": "discrete",
    "streams": "sampled",
}
SHARED = {"base_size", "joint", "streams"}


@pytest.mark.parametrize(
    ("mode", "group", "silent"),
    [
        ("a-ssl", "translations", {"smallest_scale", "scale_draw"}),
        ("a-ssl", "scales", {"translation_strength"}),
        ("a-ssl", "rotations", {"translation_strength", "smallest_scale", "scale_draw"}),
        ("h-ssl", "scales", set()),
        ("hybrid", "scales", {"translation_strength"}),
        ("frozen", "scales", SHARED | {"max_distance", "distance"}),
        ("supervised", "translations", SHARED | {"max_distance", "distance"}),
    ],
)
def test_settings_without_effect_are_named(mode: Mode, group: str, silent: set[str]) -> None:
    place = override(Config(), {"group.name": group, **MODES[mode]})
    assert CHANGED.keys() >= type(place.views).model_fields.keys() - {"name"}
    config = override_where(place, {f"views.{name}": value for name, value in CHANGED.items()})
    # Base spaces that are joint with positions leave no streams to sample.
    lines = config.without_effect()
    assert {line.split()[0] for line in lines} == {f"views.{name}" for name in silent | {"streams"}}
    assert override(place, {"views.base_size": (1, 1)}).without_effect() == ()


def test_without_a_largest_distance_there_is_nothing_to_measure() -> None:
    assert len(override(Config(), {"views.distance": "topological"}).without_effect()) == 1


@pytest.mark.parametrize(
    ("field", "value", "hint"),
    [
        ("backbone.plan", "seperable", "did you mean 'separable'?"),
        ("method.objective", "NT-XENT", "did you mean 'nt-xent'?"),
        ("data.fit", "qqq", "hssl recipes --fields lists every field"),
        ("trainer.epochs", "0", "hssl recipes --fields lists every field"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_nearest(field: str, value: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        override(Config(), {field: value})
    assert str(refused.value).endswith(f"hint:     {hint}")
    assert f"'{field}' got" in str(refused.value)
