"""What is measured of a grid's networks, by distance, and what is said of it."""

from pathlib import Path
from typing import Any

import pytest

from hssl.training.engine import train
from small_runs import tiny
from tools.information import by_place, draw, fall, main, measure, sentences

DISTANCES = (1.0, 4.0, 9.0)
RECIPE = "mnist-rotation-hssl"


def fake(seed: int, *nats: float) -> dict[str, Any]:
    points = [
        {"distance": distance, "nats": value + 0.01 * seed, "shuffled": 0.0}
        for distance, value in zip(DISTANCES, nats, strict=True)
    ]
    return {"recipe": RECIPE, "seed": seed, "identity": str(seed), "trained": points, "untrained": points}


def test_a_fall_over_seeds_is_told_and_noise_is_not() -> None:
    falling = [fake(seed, 3.0, 2.0, 1.0 + 0.01 * seed) for seed in range(4)]
    told = fall(falling, RECIPE, "trained")
    assert told is not None
    assert told.mean < 0
    (line,) = sentences(falling)
    assert line.startswith("Rotation: 3.01 nats at the nearest, 1.03 at the farthest")
    assert "falls with distance" in line
    (line,) = sentences(
        [fake(0, 2.0, 1.0, 2.1), fake(1, 2.1, 1.0, 2.0), fake(2, 1.0, 2.0, 0.9), fake(3, 1.0, 2.0, 1.1)]
    )
    assert "undecided" in line
    (line,) = sentences(falling[:1])
    assert "too few" in line


def test_places_are_those_of_one_row_over_its_seeds() -> None:
    other = fake(5, 9.0, 9.0, 9.0) | {"recipe": "mnist-scale-hssl"}
    places = by_place([fake(0, 3.0, 2.0, 1.0), fake(1, 3.0, 2.0, 1.0), other], RECIPE, "trained")
    assert tuple(places) == DISTANCES
    assert [summary.count for summary in places.values()] == [2, 2, 2]


def test_a_run_is_measured_before_and_after_training(tmp_path: Path) -> None:
    config = tiny(mode="h-ssl", trainer__epochs=1)
    train(config, tmp_path / "run")
    found = measure(tmp_path / "run", images_at_once=16)
    assert (found["seed"], found["identity"]) == (config.seed, config.identity())
    assert [point["distance"] for point in found["trained"]] == [point["distance"] for point in found["untrained"]]
    assert len(found["trained"]) >= 2
    assert found["trained"] != found["untrained"]


def test_the_picture_is_written_and_a_folder_without_runs_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw([fake(seed, 3.0, 2.0, 1.0) for seed in range(3)], tmp_path / "docs" / "information.png")
    assert (tmp_path / "docs" / "information.png").stat().st_size > 10_000
    assert main([str(tmp_path), str(tmp_path / "x.json")]) == 2
    assert "no finished run" in capsys.readouterr().err
    assert main([]) == 2
