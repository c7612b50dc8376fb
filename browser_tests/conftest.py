"""The browser, and the pages that are looked at. Without Chromium these tests fail: `make test-page` asks for them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chromium import Browser, NoBrowser
from fakes.records import comparison, write_run
from hssl.paper.grid import cells
from hssl.report.comparison import write_report
from hssl.report.reproduction import write_reproduction
from hssl.runs.grid import tasks
from hssl.runs.record import collect, write
from hssl.runs.run import GridFolder

RESULTS = Path(__file__).resolve().parent.parent / "results" / "quick"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        started = Browser()
    except NoBrowser as error:
        pytest.fail(str(error), pytrace=False)
    yield started
    started.close()


@pytest.fixture(scope="session")
def invented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of all tables and figures whose runs never took place; one cell failed and one is missing."""
    runs, out = tmp_path_factory.mktemp("runs"), GridFolder(tmp_path_factory.mktemp("invented"))
    for task in tasks(cells(["all"]), range(2), "quick", {}):
        if task.name.startswith("mnist-rotation-frozen"):
            out.failure_file(task.name).parent.mkdir(exist_ok=True)
            out.failure_file(task.name).write_text("RuntimeError: disk full\n" + "a long line of a traceback " * 12)
        elif not task.name.startswith("cifar10-scale-assl"):
            write(collect(write_run(runs / task.name, task.config)), out.record_file(task.name))
    write_reproduction(out.path)
    return out.path


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed records as a grid."""
    out = tmp_path_factory.mktemp("recorded")
    shutil.copytree(RESULTS / "records", out / "records")
    write_reproduction(out)
    return out


@pytest.fixture(scope="session", params=["invented", "recorded"])
def grid(request: pytest.FixtureRequest) -> Path:
    """A folder with records/ and the report.html that was made of them."""
    return Path(request.getfixturevalue(request.param))


@pytest.fixture(scope="session", params=["invented", "recorded", "comparison"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of page that is made."""
    if request.param == "comparison":
        made = tmp_path_factory.mktemp("comparison")
        return write_report(comparison(made / "runs"), made)
    return Path(request.getfixturevalue(request.param)) / "report.html"


@pytest.fixture
def doctored(tmp_path: Path) -> Callable[[Path, str, str], Path]:
    """A copy of a page with its first `old` replaced, for controls that must fail."""

    def doctor(page: Path, old: str, new: str) -> Path:
        text = page.read_text(encoding="utf-8")
        assert old in text, f"the page has no {old!r} to replace"
        copy = tmp_path / "doctored.html"
        copy.write_text(text.replace(old, new, 1), encoding="utf-8")
        return copy

    return doctor
