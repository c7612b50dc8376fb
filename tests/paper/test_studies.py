"""Studies beyond the paper: every configuration trains, runs are shared where they are the same, and nowhere else."""

from collections import defaultdict
from pathlib import Path

import pytest
import torch

from fakes import records as fake_records
from hssl.analysis.entries import entries
from hssl.config import BudgetName, override
from hssl.errors import ConfigurationError
from hssl.paper.budgets import BUDGET_NAMES
from hssl.paper.grid import Cell, cells
from hssl.paper.recipes import STEMS, recipe, recipe_name
from hssl.paper.studies import STUDIES, effective, word
from hssl.report.html import page
from hssl.report.markdown import markdown
from hssl.report.reproduction import reproduction
from hssl.runs.grid import tasks
from hssl.runs.record import collect
from hssl.training.build import build_backbone, build_views
from hssl.training.engine import check


def beyond(budget: BudgetName, *studies: str) -> tuple[Cell, ...]:
    return cells(studies or ["beyond"], budget=budget)


@pytest.mark.parametrize("budget", BUDGET_NAMES)
@pytest.mark.parametrize("study", STUDIES)
def test_every_configuration_trains(study: str, budget: BudgetName) -> None:
    for cell in beyond(budget, study):
        config = cell.configuration(budget, 1, {})
        check(config)
        with torch.device("meta"):
            backbone = build_backbone(config, 3)
            backbone.build_readout(10)
        views = build_views(config, backbone)
        pools = config.transformation != "translation" and cell.variant != "joint"
        assert views is None or (views.base.group != backbone.feature_group) == pools
        assert (config.seed, config.mode, config.budget) == (1, cell.mode, budget)
        assert (config.data.name, config.transformation) == (cell.dataset, cell.transformation)
        assert cell.study is not None
        assert cell.variant is not None
        for name, value in STUDIES[cell.study].variants[cell.variant].items():
            section, field = name.split(".")
            assert getattr(getattr(config, section), field) == value


def test_what_cannot_train_is_found() -> None:
    """The control of the test above: full kernels belong to rotations; sampled streams have no readout alongside."""
    for name, changes, message in (
        ("mnist-scale-hssl", {"backbone.full_extent": True}, "only rotations"),
        ("mnist-scale-hssl", {"views.streams": "sampled"}, "a readout reads all streams"),
        ("mnist-translation-hssl", {"views.joint": True}, "no joint group"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            check(override(recipe(name, "paper"), changes))


@pytest.mark.parametrize("budget", BUDGET_NAMES)
def test_one_name_is_one_configuration_and_one_configuration_one_name(budget: BudgetName) -> None:
    by_name, by_identity = defaultdict(set), defaultdict(set)
    everything = [*cells(["all"], ["mnist", "cifar10", "tiny-imagenet"], budget=budget), *beyond(budget)]
    for cell in everything:
        identity = cell.configuration(budget, 0, {}).identity()
        by_name[cell.run].add(identity)
        by_identity[identity].add(cell.run)
    assert len(by_name) == len(by_identity) < len(everything)
    assert all(len(found) == 1 for found in (*by_name.values(), *by_identity.values()))


def test_names_by_variant_alone_would_make_runs_twice() -> None:
    """The control of the test above: at the quick budget streams are sampled already."""
    by_identity = defaultdict(set)
    for study in STUDIES.values():
        for stem in study.stems:
            for variant, changes in study.variants.items():
                config = override(recipe(recipe_name(stem, "h-ssl"), "quick"), changes)
                by_identity[config.identity()].add(f"{stem}-{study.name}-{variant}")
    assert any(len(names) > 1 for names in by_identity.values())


def test_what_a_budget_has_already_is_the_recipes_run() -> None:
    def runs(budget: BudgetName, study: str, variant: str) -> set[str]:
        chosen = cells([study], ["mnist"], ["scale"], budget)
        return {cell.run for cell in chosen if cell.variant == variant and cell.mode == "h-ssl"}

    assert runs("quick", "streams", "sampled") == {"mnist-scale-hssl"}
    assert runs("quick", "streams", "all") == runs("quick", "joint", "pooled") == {"mnist-scale-hssl-all-streams"}
    assert runs("paper", "joint", "pooled") == {"mnist-scale-hssl"}
    assert runs("paper", "streams", "all") == {"mnist-scale-hssl-read-afterwards"}
    assert runs("paper", "loss", "nt-xent") == {"mnist-scale-hssl-nt-xent"}
    assert runs("quick", "joint", "joint") == {"mnist-scale-hssl-joint-all-streams"}
    assert dict(effective({"method.objective": "contrastive"}, recipe("mnist-scale-hssl"))) == {}
    assert dict(effective({"method.objective": "nt-xent"}, recipe("mnist-scale-hssl"))) == {
        "method.objective": "nt-xent"
    }


def test_figures_name_their_runs_as_before() -> None:
    assert word("views.base_size", (3, 3)) == word("views.base_size", 3) == "base-3"
    assert word("views.max_distance", 0.0064) == "distance-0.0064"
    assert word("views.max_distance", 4) == "distance-4"


def test_a_cell_is_of_its_budget() -> None:
    (cell,) = (
        cell for cell in cells(["streams"], ["mnist"], ["scale"]) if cell.variant == "sampled" and cell.mode == "h-ssl"
    )
    assert cell.configuration("quick", 0, {}).views.streams == "sampled"
    with pytest.raises(ValueError, match="not of paper"):
        cell.configuration("paper", 0, {})


def test_studies_are_of_networks_with_structure_on_all_data() -> None:
    for study in STUDIES.values():
        assert set(study.stems) <= set(STEMS)
        assert not {stem for stem in study.stems if stem.endswith(("-mlp", "-cnn"))}
        assert study.title
        assert study.question
        assert study.source
    assert {cell.dataset for cell in beyond("quick")} == {"mnist", "cifar10", "tiny-imagenet"}
    assert {cell.study for cell in beyond("quick")} == set(STUDIES)
    assert {cell.network for cell in beyond("quick")} == {"Rot-Eq.", "CNN", "SESN"}
    assert {cell.run for cell in beyond("quick", "small-maps")} == {
        f"tiny-imagenet-translation-{mode}" for mode in ("assl", "hssl", "frozen", "supervised")
    }


def test_what_cells_differ_in_cannot_be_set_for_all_of_them() -> None:
    for chosen, name, value in (
        (beyond("smoke", "loss"), "method.objective", "nt-xent"),
        (cells(["figure2-distance"], budget="smoke"), "views.max_distance", "1"),
    ):
        with pytest.raises(ConfigurationError, match=f"differ in '{name}'"):
            tasks(chosen, (0,), "smoke", {name: value})
        assert tasks(chosen, (0,), "smoke", {"method.temperature": "0.2"})


def test_records_find_their_study_by_the_name_of_their_file(tmp_path: Path) -> None:
    chosen = [cell for cell in cells(["loss"], ["mnist"], ["scale"]) if cell.mode == "h-ssl"]
    records = {}
    for task in tasks(chosen, (0, 1), "quick", {}):
        folder = fake_records.write_run(tmp_path / task.name, task.config)
        records[task.name] = collect(folder)
    found = [entry for entry in entries(records) if entry.cell.study is not None]
    assert [(entry.cell.study, entry.cell.variant, len(entry.records)) for entry in found] == [
        ("loss", "contrastive", 2),  # table 1's run
        ("loss", "nt-xent", 2),
    ]
    assert "mnist-scale-hssl-nt-xent" in page(reproduction(records, {}))
    assert "| Row | Training | contrastive | nt-xent |" in markdown(reproduction(records, {}))
    # With the runs of the table alone no study has been begun.
    alone = {name: record for name, record in records.items() if "nt-xent" not in name}
    assert {entry.cell.study for entry in entries(alone)} == {None}
