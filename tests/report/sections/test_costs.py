"""What runs cost: GPU-hours beside GPU-hours alone, sums of what was measured in full, shared runs once."""

from pathlib import Path
from typing import Any

import pytest

from fakes.grid import SEEDS, grid
from hssl.analysis.entries import entries
from hssl.paper import numbers as paper
from hssl.report.document import Section
from hssl.report.reproduction import costs_of
from hssl.report.sections.costs import cost_of, costs, on_gpu
from hssl.runs.record import RunRecord

GPU = "NVIDIA H100 80GB HBM3"


def moved(record: RunRecord, device: str, **changes: Any) -> RunRecord:
    """The record as if another device had made it."""
    return record.model_copy(update={"environment": record.environment | {"device": device}, **changes})


def line_of(section: Section, run: str) -> dict[str, str]:
    table = section.tables[0]
    line = next(line for line in table.lines if line[0] == run)
    return {
        heading: cell if isinstance(cell, str) else cell.text
        for heading, cell in zip(table.headings, line, strict=True)
    }


def test_processors_have_core_hours_and_no_ratio(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS, seeds=2)
    section = costs(costs_of(entries(records)))
    assert section is not None
    line = line_of(section, "mnist-scale-assl")
    hours = [record.device_hours for name, record in records.items() if name.startswith("mnist-scale-assl-quick")]
    threads = 2
    assert float(line["Core-hours"]) == pytest.approx(threads * sum(h for h in hours if h) / 2, rel=0.01)
    assert "GPU-hours" not in line
    assert "Ours / paper" not in line
    assert line["Paper GPU-hours"] == str(paper.GPU_HOURS["mnist"])
    assert "core-hours, which are not compared" in section.text[0]
    assert "GPUs" not in section.text[0].split("The paper reports")[0]


def test_gpus_have_a_ratio(tmp_path: Path) -> None:
    records = {name: moved(record, GPU) for name, record in grid(tmp_path, SEEDS, seeds=2).items()}
    section = costs(costs_of(entries(records)))
    assert section is not None
    line = line_of(section, "mnist-scale-assl")
    cost = cost_of([record for name, record in records.items() if name.startswith("mnist-scale-assl-quick")])
    assert cost.gpu_hours is not None
    assert cost.core_hours is None
    assert float(line["Ours / paper"]) == pytest.approx(cost.gpu_hours / 2 / paper.GPU_HOURS["mnist"], rel=0.05)
    assert "All of them ran on GPUs" in section.text[0]
    assert "Core-hours" not in line


def test_several_devices_count_each(tmp_path: Path) -> None:
    record = moved(next(iter(grid(tmp_path, SEEDS, seeds=1).values())), GPU)
    trainer = record.configuration["trainer"] | {"devices": 8}
    several = record.model_copy(update={"configuration": record.configuration | {"trainer": trainer}})
    one, eight = cost_of([record]).gpu_hours, cost_of([several]).gpu_hours
    assert one is not None
    assert eight is not None
    # Evaluation runs on one of them.
    assert one < eight < 8 * one


def test_a_sum_without_a_part_is_none(tmp_path: Path) -> None:
    record = next(iter(grid(tmp_path, SEEDS, seeds=1).values()))
    drew = record.model_copy(update={"energy_joules": 7.2e6})
    assert cost_of([drew, drew]).kilowatt_hours == pytest.approx(4)
    assert cost_of([drew, record]).kilowatt_hours is None
    mixed = cost_of([moved(record, GPU), record])
    assert mixed.gpu_hours is None
    assert mixed.core_hours is None


def test_a_shared_run_is_counted_once(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS, seeds=1)
    section = costs(costs_of(entries(records)))
    assert section is not None
    runs = [line[0] for line in section.tables[0].lines]
    assert len(runs) == len(set(runs)) == len(records)
    assert section.text[0].startswith(f"{len(records)} runs took")


def test_a_study_has_no_cost_in_the_paper(tmp_path: Path) -> None:
    records = grid(tmp_path, SEEDS, seeds=1, study="loss")
    section = costs(costs_of(entries(records)))
    assert section is not None
    assert line_of(section, "mnist-scale-hssl-nt-xent")["Paper GPU-hours"] == "–"
    assert line_of(section, "mnist-scale-hssl")["Paper GPU-hours"] == "8"


@pytest.mark.parametrize(
    ("device", "gpu"), [("CPU: AMD EPYC", False), ("cpu (x)", False), ("unknown device", False), (GPU, True)]
)
def test_devices(device: str, gpu: bool, tmp_path: Path) -> None:
    record = next(iter(grid(tmp_path, SEEDS, seeds=1).values()))
    assert on_gpu(moved(record, device)) == gpu


def test_what_took_no_known_time_has_no_section(tmp_path: Path) -> None:
    records = {n: r.model_copy(update={"wall_seconds": None}) for n, r in grid(tmp_path, SEEDS, seeds=1).items()}
    assert costs(costs_of(entries(records))) is None
