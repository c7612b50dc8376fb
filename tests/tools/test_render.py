"""Committed records go between the markers of README and docs, and nothing else of them changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from fakes.grid import SEEDS, grid
from hssl.errors import DataError
from hssl.files import write_atomically
from hssl.runs.record import write
from tools.render import main, readme_parts, records_of, reproduction_parts, update

ACCURACIES = SEEDS | {"mnist-scale-hssl-nt-xent": [70.0, 70.4, 70.1]}


def test_parts_stand_between_their_markers(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("# Title\n<!-- one:begin -->\nold\n<!-- one:end -->\nafter <!-- two:begin --><!-- two:end -->\n")
    update(file, {"one": "new", "two": "other"})
    text = "# Title\n<!-- one:begin -->\nnew\n<!-- one:end -->\nafter <!-- two:begin -->\nother\n<!-- two:end -->\n"
    assert file.read_text() == text
    update(file, {"one": "new", "two": "other"})
    assert file.read_text() == text


@pytest.mark.parametrize("content", ["nothing", "<!-- one:end --> <!-- one:begin -->", 2 * "<!-- one:begin -->"])
def test_a_file_without_markers_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    file = tmp_path / "page.md"
    file.write_text(content)
    with pytest.raises(DataError, match="no place for 'one'"):
        update(file, {"one": "new"})
    assert file.read_text() == content


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.md cannot be read"):
        update(tmp_path / "nothing.md", {})


def test_the_readme_has_the_tables_alone(tmp_path: Path) -> None:
    records = grid(tmp_path, ACCURACIES, study="loss")
    tables = {name: record for name, record in records.items() if "-base-" not in name and "-distance-" not in name
              and "nt-xent" not in name}  # fmt: skip
    assert len(tables) < len(records)
    parts = readme_parts(records)
    assert parts["results"] == readme_parts(tables)["results"]
    assert "98.2 ± 0.2" in parts["results"]
    assert "Figure 2, left" in parts["in-short"]


def test_the_docs_tell_what_a_decision_does(tmp_path: Path) -> None:
    parts = reproduction_parts(grid(tmp_path, ACCURACIES, study="loss"))
    (line,) = (line for line in parts["effects"].splitlines() if "98.1 ± 0.2" in line)
    assert line.startswith("| loss | nt-xent, not contrastive | MNIST · scale · SESN | H-SSL |")
    assert "70.2 ± 0.2" in line
    assert "different" in line
    assert "CIFAR-10 | figure 2 beside" in parts["cost"]


def test_it_renders_a_grids_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, record in grid(tmp_path / "runs", ACCURACIES, seeds=2, study="loss").items():
        write(record, tmp_path / "records" / f"{name}.json")
    readme, docs, picture = tmp_path / "README.md", tmp_path / "docs.md", tmp_path / "docs" / "results.png"
    readme.write_text(_places("picture", "results", "in-short"))
    docs.write_text(_places("in-short", "effects", "cost", "information"))
    assert main([str(tmp_path), str(readme), str(docs), str(picture)]) == 0
    assert not (tmp_path / "docs" / "information.png").exists()
    assert "Not measured yet." in docs.read_text()
    write_atomically(tmp_path / "information.json", json.dumps([information_run(seed) for seed in range(3)]))
    assert main([str(tmp_path), str(readme), str(docs), str(picture)]) == 0
    assert (tmp_path / "docs" / "information.png").read_bytes().startswith(b"\x89PNG")
    assert "Seeds 0, 1 and 2; a processor" in docs.read_text()
    assert "- Rotation: 3.00 nats at the nearest" in docs.read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "(docs/results.png)" in readme.read_text()
    records = records_of(tmp_path)
    assert all(part in readme.read_text() for part in readme_parts(records).values())
    assert all(part in docs.read_text() for part in reproduction_parts(records).values())
    assert main([str(tmp_path / "nowhere"), str(readme), str(docs), str(picture)]) == 2
    assert "there are no records" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2


def information_run(seed: int) -> dict[str, Any]:
    points = [{"distance": float(at), "nats": 3.0 - at + at * 0.01 * seed, "shuffled": 0.0} for at in range(3)]
    made = {"device": "a processor", "torch": "2.13", "date": "2026-12-01T00:00:00"}
    return {"recipe": "mnist-rotation-hssl", "seed": seed, "trained": points, "untrained": points, "environment": made}


def _places(*names: str) -> str:
    return "".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in names)
