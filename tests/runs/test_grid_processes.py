"""A grid as the tree of processes that it is: killed at any time, failing in one run, or two of them on one folder.

Whatever happened before, the same command ends with the same records, but for what the clock says, and with nothing
half-written beside them.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fakes import warm
from hssl.errors import DataError
from hssl.report.reproduction import write_reproduction
from hssl.runs.record import read
from hssl.runs.run import GridFolder
from small_data import write_mnist
from waiting import HANG_SECONDS

FIELDS = {
    "trainer.epochs": 3, "trainer.batch_size": 16, "trainer.accelerator": "cpu", "trainer.precision": "32",
    "trainer.threads": 1, "optimizer.warmup_epochs": 1, "backbone.width": 0.125, "evaluation.readout_epochs": 1,
    "evaluation.equivariance_images": 2,
}  # fmt: skip
RUNS = [f"mnist-rotation-{mode}-smoke-seed0" for mode in ("assl", "hssl", "frozen", "supervised")]
CLOCK = {"seconds", "images_per_second", "wall_seconds", "energy_joules", "joules", "date", "git", "sessions"}
RANDOM_KILLS = 6


@dataclass(frozen=True)
class Grids:
    """Starts grids, and knows how one ends that nothing happens to."""

    base: Path
    server: Path
    events: int = 0

    def words(self, folder: Path) -> list[str]:
        fields = [word for name, value in FIELDS.items() for word in (f"--{name}", str(value))]
        words = ["reproduce", "table1", "--datasets", "mnist", "--transformations", "rotation", "--budget", "smoke"]
        return [*words, "--jobs", "2", "--data.root", str(self.base / "data"), "--out", str(folder), *fields]

    def start(self, folder: Path, **environment: str) -> subprocess.Popen[str]:
        """The command in a process group of its own."""
        return subprocess.Popen(
            warm.client(self.server, "hssl", *self.words(folder)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment},
        )

    def finish(self, folder: Path, **environment: str) -> tuple[int, str]:
        """Its exit code and what it said."""
        process = self.start(folder, **environment)
        said, _ = process.communicate(timeout=HANG_SECONDS)
        return process.returncode, said

    def is_killed(self, folder: Path, **environment: str) -> bool:
        """Whether it was killed, by itself, before it came to its end."""
        return self.finish(folder, **environment)[0] == -signal.SIGKILL

    def counting(self) -> dict[str, str]:
        """The environment in which events are counted, from 0."""
        self.counted.unlink(missing_ok=True)
        return {warm.COUNTED_IN: str(self.counted)}

    @property
    def counted(self) -> Path:
        return self.base / "events"

    @property
    def whole(self) -> Path:
        """The grid that nothing happened to; it took so many `events`."""
        return self.base / "whole"


@pytest.fixture(scope="module")
def grids(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grids]:
    base = tmp_path_factory.mktemp("grids")
    write_mnist(base / "data" / "mnist")
    server = warm.start(base / "server")
    try:
        found = Grids(base, base / "server")
        code, said = found.finish(found.whole, **found.counting())
        assert code == 0, said
        yield replace(found, events=found.counted.stat().st_size)
    finally:
        server.kill()
        server.wait()


def without_clock(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: without_clock(value) for name, value in tree.items() if name not in CLOCK}
    return [without_clock(item) for item in tree] if isinstance(tree, list) else tree


def records(folder: Path) -> dict[str, Any]:
    """By name, without what the clock says."""
    files = sorted((folder / "records").iterdir())
    return {file.name: without_clock(read(file).model_dump(mode="json")) for file in files if file.suffix == ".json"}


def halves(folder: Path) -> list[str]:
    """What a reader, now, would find cut short."""
    found = []
    for file in (folder / "records").glob("*.json"):
        try:
            read(file)
        except DataError as error:
            found.append(str(error))
    page = folder / "report.html"
    if page.exists() and not page.read_text().endswith("</html>\n"):
        found.append(f"{page} has no end")
    return found


def faults(folder: Path, whole: Path, scratch: Path) -> list[str]:
    """What tells a folder from that of a grid that nothing happened to."""
    found = halves(folder)
    places = [path.relative_to(folder) for path in sorted(folder.rglob("*"))]
    found += [f"left over: {place}" for place in places if place.name.startswith(".") or "damaged" in place.name]
    found += [f"failure: {place}" for place in places if place.parent.name == "failures"]
    if not found and records(folder) != records(whole):
        found.append("the records differ")
    for file in (folder / "locks").iterdir():
        with GridFolder(folder).lock(file.stem):
            pass
    # The report is that of these very records, and but for dates and costs, its last section, that of the others.
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(folder / "records", scratch / "records")
    if not found:
        write_reproduction(scratch)
        found += [
            f"{name} is not that of the records"
            for name in ("report.html", "report.md")
            if (scratch / name).read_text() != (folder / name).read_text()
        ]
        texts = [re.sub(r"\d+-\d+-\d+|## Cost\n.*", "", (at / "report.md").read_text(), flags=re.DOTALL)
                 for at in (folder, whole)]  # fmt: skip
        if texts[0] != texts[1]:
            found.append("the reports differ")
    return found


def test_killed_at_any_time_it_goes_on_and_ends_with_the_same(grids: Grids, tmp_path: Path) -> None:
    """At every place that is dangerous, and at random ones of all that a grid does to its folder, in a random order."""
    chance = random.Random(1)
    folder = tmp_path / "grid"
    # Strata: they are spread over the whole of it. The last ones depend on who of the processes waited for whom.
    at = [round(0.9 * (index + chance.random()) / RANDOM_KILLS * grids.events) for index in range(RANDOM_KILLS)]
    plans: list[str | int] = [*warm.PLACES, *at]
    chance.shuffle(plans)
    for plan in plans:

        def killed(plan: str | int = plan) -> bool:
            how = {warm.KILL_AT: plan} if isinstance(plan, str) else {warm.KILL_AFTER: str(plan), **grids.counting()}
            return grids.is_killed(folder, **how)

        if not killed():
            # What was left to do after the kills before did not come so far: once more from the beginning.
            assert faults(folder, grids.whole, tmp_path / "scratch") == []
            shutil.rmtree(folder)
            assert killed(), f"nothing was killed at {plan}"
        assert halves(folder) == [], plan
    code, said = grids.finish(folder)
    assert code == 0, said
    assert faults(folder, grids.whole, tmp_path / "scratch") == []


@pytest.fixture
def done(grids: Grids, tmp_path: Path) -> Path:
    """A finished grid to be changed."""
    shutil.copytree(grids.whole, tmp_path / "done")
    return tmp_path / "done"


def test_a_writer_that_is_not_atomic_is_found_out(grids: Grids, done: Path, tmp_path: Path) -> None:
    """The control of the kills above: what they look at is not always in order."""
    assert faults(done, grids.whole, tmp_path / "scratch") == []
    assert grids.is_killed(done, **{warm.NOT_ATOMIC: "report"})
    assert "has no end" in " ".join(halves(done))
    (done / "records" / f"{RUNS[1]}.json").unlink()
    assert grids.is_killed(done, **{warm.NOT_ATOMIC: "record"})
    assert "cut short" in " ".join(halves(done))
    # The same command mends both, and the damaged record stays for who wants to see it.
    assert grids.finish(done)[0] == 0
    assert faults(done, grids.whole, tmp_path / "scratch") == [f"left over: records/{RUNS[1]}.json.damaged-1"]


@pytest.mark.parametrize("change", ["a leftover", "a number", "an old report", "a failure", "a run too few"])
def test_every_difference_is_a_fault(change: str, grids: Grids, done: Path, tmp_path: Path) -> None:
    file = done / "records" / f"{RUNS[0]}.json"
    match change:
        case "a leftover":
            (done / "runs" / RUNS[0] / "checkpoints" / ".last.ckpt.part").touch()
        case "a number":
            envelope = json.loads(file.read_text())
            other = json.loads((done / "records" / f"{RUNS[1]}.json").read_text())
            envelope["record"]["metrics"][-1]["train/loss"] = other["record"]["metrics"][-1]["train/loss"]
            from hssl.runs.record import _checksum

            file.write_text(json.dumps({**envelope, "checksum": _checksum(envelope["record"])}))
            write_reproduction(done)
        case "an old report":
            (done / "report.md").write_text((done / "report.md").read_text().replace("mnist-rotation", "mnist-rotated"))
        case "a failure":
            (done / "failures").mkdir(exist_ok=True)
            (done / "failures" / f"{RUNS[0]}.txt").write_text("why")
        case "a run too few":
            file.unlink()
            write_reproduction(done)
    assert faults(done, grids.whole, tmp_path / "scratch") != []


def test_one_run_that_fails_leaves_the_others_and_is_told(grids: Grids, tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    code, said = grids.finish(folder, **{warm.FAIL: RUNS[1]})
    assert code == 1
    assert f"failed: {RUNS[1]}\nZeroDivisionError: of all things" in said
    assert "1 of 4 runs failed; the same command tries it again" in said
    page = (folder / "report.html").read_text()
    assert "ZeroDivisionError: of all things" in page
    kept = records(folder)
    whole = records(grids.whole)
    assert sorted(kept) == sorted(f"{name}.json" for name in RUNS if name != RUNS[1])
    assert all(kept[name] == whole[name] for name in kept)
    before = {file.name: file.stat().st_mtime_ns for file in (folder / "records").iterdir()}
    assert grids.finish(folder)[0] == 0
    assert faults(folder, grids.whole, tmp_path / "scratch") == []
    assert all((folder / "records" / name).stat().st_mtime_ns == written for name, written in before.items())


def starts(folder: Path) -> dict[str, int]:
    """How many times each run was begun."""
    return {
        name: len(re.findall(r"epoch 1 of|random weights", (folder / "runs" / name / "log.txt").read_text()))
        for name in RUNS
    }


@pytest.mark.parametrize("locks", [True, False])
def test_two_at_once_make_each_run_once(locks: bool, grids: Grids, tmp_path: Path) -> None:
    folder = tmp_path / "grid"
    environment = {} if locks else {warm.WITHOUT_LOCKS: "1"}
    both = [grids.start(folder, **environment) for _ in range(2)]
    ends = [(process.communicate(timeout=HANG_SECONDS)[0], process.returncode) for process in both]
    once = starts(folder) == dict.fromkeys(RUNS, 1)
    assert once is locks
    if locks:
        assert [code for _, code in ends] == [0, 0], ends
        assert faults(folder, grids.whole, tmp_path / "scratch") == []
