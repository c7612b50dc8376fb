"""The README says what is: its Python runs, its commands exist, its numbers are those of the committed records."""

import re
import shutil
from pathlib import Path
from statistics import fmean

import pytest
import torch

from hssl.config import override_where
from hssl.paper.recipes import MODES, recipe, recipe_names
from hssl.report.markdown import markdown
from hssl.report.reproduction import reproduction
from hssl.runs.record import RunRecord, read
from tools.render import readme_parts, records_of, reproduction_parts, update
from tools.render_benchmarks import main as render_measurements

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.DOTALL)


def test_the_plain_pytorch_example_trains() -> None:
    """H-SSL without Lightning: the losses of the block's loop fall when the block's loop is repeated."""
    code = _blocks("python")[0]
    torch.manual_seed(0)
    losses: list[float] = []
    repeated = code.replace("for batch in images.split(256):", "for batch in 40 * images.split(256):")
    assert repeated != code
    recorded = repeated.replace("    optimizer.step()", "    optimizer.step()\n    losses.append(float(loss.detach()))")
    assert recorded != repeated
    exec(compile(recorded, str(README), "exec"), {"losses": losses})
    per_pass = len(losses) // 40
    assert per_pass == 8
    # The last batch of a pass is smaller and has fewer negatives: compare like with like.
    assert sum(losses[-per_pass:]) < sum(losses[:per_pass]) - 1.0 * per_pass


def test_a_ssl_and_h_ssl_are_the_same_numbers_for_the_same_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = _blocks("python")
    torch.manual_seed(0)
    names: dict[str, object] = {}
    exec(compile(first, str(README), "exec"), names)
    capsys.readouterr()

    def losses(code: str) -> list[float]:
        exec(compile(code, str(README), "exec"), names)
        return [float(line) for line in capsys.readouterr().out.split()]

    one, other = losses(second)
    assert abs(one - other) < 1e-4
    # The control: other places for the same turns.
    wrong = second.replace("g0.moved_back(g1, at), g0.moved_back(g2, at)", "g0.at(at), g0.moved_back(g2, at)")
    assert wrong != second
    one, other = losses(wrong)
    assert abs(one - other) > 1e-2


def test_the_recipes_and_targets_that_it_names_exist() -> None:
    text = README.read_text()
    named = set(re.findall(r"hssl (?:train|equivariance) ([a-z0-9-]+)", text))
    assert named
    assert named <= set(recipe_names())
    targets = set(re.findall(r"make ([a-z-]+)", text))
    assert {"demo", "test", "install"} <= targets
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


@pytest.mark.parametrize("page", [README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name)
def test_links_within_the_project_resolve(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target, _, heading in re.findall(r"\]\((?!https?://)([^)#]+)(#([^)]+))?\)", text):
        linked = page.parent / target
        assert linked.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), flags=re.MULTILINE)
            assert heading in [text.lower().replace(" ", "-") for text in headings], heading


def test_the_results_are_rendered_from_the_committed_records(tmp_path: Path) -> None:
    records = records_of(ROOT / "results" / "quick")
    for page, parts in ((README, readme_parts), (ROOT / "docs" / "reproduction.md", reproduction_parts)):
        copy = tmp_path / page.name
        shutil.copy(page, copy)
        update(copy, parts(records))
        assert copy.read_text() == page.read_text(), "run `make readme`"
    report = ROOT / "results" / "quick" / "report.md"
    assert report.read_text() == markdown(reproduction(records, {})), "run `hssl report results/quick`"


def test_the_measurements_are_rendered_from_the_committed_ones(tmp_path: Path) -> None:
    for name in ("README.md", "docs/performance.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    page = tmp_path / "docs" / "performance.md"
    source, readme, runs = ROOT / "results" / "bench", tmp_path / "README.md", ROOT / "results" / "quick" / "records"
    assert render_measurements([str(source), str(page), str(readme), "--runs", str(runs)]) == 0
    for name in ("README.md", "docs/performance.md"):
        assert (tmp_path / name).read_text() == (ROOT / name).read_text(), (
            "python -m tools.render_benchmarks, as in make bench"
        )


def test_a_changed_number_is_noticed(tmp_path: Path) -> None:
    records = records_of(ROOT / "results" / "quick")
    name = "mnist-scale-hssl-quick-seed0"
    evaluation = records[name].evaluation
    assert evaluation.readout is not None
    changed = evaluation.model_copy(update={"readout": evaluation.readout.model_copy(update={"accuracy": 1.0})})
    records[name] = records[name].model_copy(update={"evaluation": changed})
    copy = tmp_path / "README.md"
    shutil.copy(README, copy)
    update(copy, readme_parts(records))
    assert copy.read_text() != README.read_text()
    assert (ROOT / "results" / "quick" / "report.md").read_text() != markdown(reproduction(records, {}))


def test_the_demo_gains_what_it_is_there_to_show() -> None:
    """The committed seeds are of the command that `make demo` runs, and learn more than random weights."""
    command = re.search(r"^DEMO := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert command is not None
    stem, *words = command.group(1).split()
    fields = {name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    budget = fields.pop("budget")
    by_mode: dict[str, list[RunRecord]] = {}
    for file in sorted((ROOT / "results" / "demo" / "records").glob("*.json")):
        record = read(file)
        config = override_where(recipe(record.recipe, budget), {**fields, "seed": record.seed})
        assert record.identity == config.identity(), file.name
        assert record.recipe.startswith(stem)
        by_mode.setdefault(record.mode, []).append(record)
    assert {mode: len(records) for mode, records in by_mode.items()} == dict.fromkeys(MODES.values(), 3)

    def accuracy(mode: str, measure: str) -> float:
        return fmean(getattr(record.evaluation, measure).accuracy for record in by_mode[mode])

    for mode in ("a-ssl", "h-ssl"):
        assert accuracy(mode, "few_labels") >= accuracy("frozen", "few_labels") + 5
        for measure in ("linear_probe", "knn"):
            assert accuracy(mode, measure) >= accuracy("frozen", measure)
