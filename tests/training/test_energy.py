"""Energy is what counters say, wraps included; where none can be read there is no number rather than a guess."""

import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch

from hssl.runs.record import collect
from hssl.training import energy as module
from hssl.training import engine
from hssl.training.callbacks import Journal
from hssl.training.energy import Counter, CounterLostError, EnergyMeter, cpu_counters, gpu_counters, meter_of
from hssl.training.engine import train
from hssl.training.evaluate import evaluate_run
from hssl.training.run_folder import RunFolder
from small_runs import Interrupted, StopAfter, tiny
from training.test_callbacks import PretendTrainer, end_epoch, journal_lines
from waiting import until

CPU = torch.device("cpu")


class Turned:
    """A counter that is turned on by hand; it begins again at 0 after `range` counts."""

    def __init__(self, count: int = 0, range: int | None = None) -> None:
        self.count, self.range, self.looks, self.lost = count, range, 0, False

    def turn(self, by: int) -> None:
        self.count = self.count + by if self.range is None else (self.count + by) % self.range

    def read(self) -> int:
        if self.lost:
            raise CounterLostError
        self.looks += 1
        return self.count

    @property
    def counter(self) -> Counter:
        return Counter(self.read, 1e-3, self.range)


def test_joules_are_counted_from_the_start() -> None:
    first, second = Turned(5_000), Turned(77)
    meter = EnergyMeter([first.counter, second.counter])
    assert meter.joules() == 0
    first.turn(2_000)
    second.turn(500)
    assert meter.joules() == 2.5
    first.turn(1_000)
    assert meter.joules() == 3.5
    meter.start()
    assert meter.joules() == 0


def test_a_counter_that_wraps_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    turned = Turned(9_000, range=10_000)
    meter = EnergyMeter([turned.counter])
    turned.turn(3_000)
    assert meter.joules() == 3.0
    # The control: taken for one that does not wrap, it would have told something else.
    assert Counter(turned.read, 1e-3).between(9_000, turned.count) == 2.0


@pytest.mark.parametrize("seconds", [0.01, 1000.0])
def test_a_counter_that_wraps_twice_is_looked_at_in_time(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the control: where nobody looks in between, a whole range is lost."""
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LOOKS", seconds)
    turned = Turned(range=10_000)
    meter = EnergyMeter([turned.counter])
    until(lambda: turned.looks >= 2)  # the first one's, and the thread's
    for _ in range(3):
        turned.turn(6_000)
        if seconds < 1:
            seen = turned.looks
            # One look may have begun before the turn; a second one has not.
            until(lambda seen=seen: turned.looks >= seen + 2)  # type: ignore[misc]
    assert meter.joules() == (18.0 if seconds < 1 else 8.0)


def test_nobody_looks_once_the_meter_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS_BETWEEN_LOOKS", 0.01)
    turned = Turned(range=10_000)
    before = set(threading.enumerate())
    meter = EnergyMeter([turned.counter])
    until(lambda: turned.looks >= 3)
    (looking,) = set(threading.enumerate()) - before
    del meter
    until(lambda: not looking.is_alive())


def test_a_lost_counter_leaves_no_number_and_no_error() -> None:
    steady, failing = Turned(), Turned()
    meter = EnergyMeter([steady.counter, failing.counter])
    failing.lost = True
    assert meter.joules() is None
    failing.lost = False
    meter.start()
    assert meter.joules() is None


def test_a_machine_without_counters_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RAPL", tmp_path / "nowhere")
    assert cpu_counters() == []
    assert meter_of(CPU).joules() is None
    assert meter_of(torch.device("meta")).joules() is None


# -- RAPL ------------------------------------------------------------------------------------------------------------


def zone(folder: Path, name: str, kind: str, count: int, range: int = 262_143_328_850) -> Path:
    place = folder / name
    place.mkdir(parents=True)
    for file, text in (("name", kind), ("energy_uj", count), ("max_energy_range_uj", range)):
        (place / file).write_text(f"{text}\n")
    return place


def test_packages_are_counted_and_their_parts_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = [zone(tmp_path, f"intel-rapl:{index}", f"package-{index}", 1_000_000, 10_000_000) for index in (0, 1)]
    others = [zone(tmp_path, "intel-rapl:0:0", "core", 0), zone(tmp_path, "intel-rapl:2", "psys", 0)]
    assert len(cpu_counters(tmp_path)) == 2
    monkeypatch.setattr(module, "RAPL", tmp_path)
    meter, second = meter_of(CPU), meter_of(CPU, first=False)
    for place in others:
        (place / "energy_uj").write_text("5000000\n")
    (packages[0] / "energy_uj").write_text("3500000\n")
    (packages[1] / "energy_uj").write_text("500000\n")  # wrapped
    assert meter.joules() == 2.5 + 9.5
    # Another process of the same machine would count the same packages again.
    assert second.joules() == 0


def test_a_counter_that_may_not_be_read_is_none(tmp_path: Path) -> None:
    place = zone(tmp_path, "intel-rapl:0", "package-0", 1)
    assert len(cpu_counters(tmp_path)) == 1
    (place / "energy_uj").unlink()
    (place / "energy_uj").mkdir()  # cannot be read by anybody, the superuser included
    assert cpu_counters(tmp_path) == []
    (place / "energy_uj").rmdir()
    (place / "energy_uj").write_text("none of your business")
    assert cpu_counters(tmp_path) == []


# -- NVML ------------------------------------------------------------------------------------------------------------


class NVMLError(Exception):
    pass


def pretend_nvml(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> SimpleNamespace:
    """A `pynvml` with two GPUs that have drawn 1 kJ and 2 kJ."""
    drawn = {"GPU-aaaa": 1_000_000, "GPU-bbbb": 2_000_000}

    def handle(name: str) -> str:
        if name not in drawn:
            raise NVMLError(name)
        return name

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=handle,
        nvmlDeviceGetTotalEnergyConsumption=lambda name: drawn[name],
        drawn=drawn,
    )
    vars(nvml).update(changes)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="bbbb"))
    return nvml


def test_a_gpu_is_found_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's first GPU need not be NVML's first: CUDA_VISIBLE_DEVICES may have chosen another."""
    nvml = pretend_nvml(monkeypatch)
    meter = meter_of(torch.device("cuda", 0))
    nvml.drawn["GPU-aaaa"] += 50_000
    nvml.drawn["GPU-bbbb"] += 7_250
    assert meter.joules() == 7.25


def _refuse(*_: object) -> None:
    raise NVMLError


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetHandleByUUID", "nvmlDeviceGetTotalEnergyConsumption"])
def test_a_gpu_that_keeps_no_count_tells_nothing(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_nvml(monkeypatch, **{broken: _refuse})
    assert gpu_counters(torch.device("cuda", 0)) == []


def test_without_pynvml_a_gpu_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_nvml(monkeypatch)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert meter_of(torch.device("cuda", 0)).joules() is None


# -- a run -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def a_joule_a_look(monkeypatch: pytest.MonkeyPatch) -> Turned:
    turned = Turned()

    def read() -> int:
        turned.turn(1_000)
        return turned.read()

    monkeypatch.setattr(module, "cpu_counters", lambda: [Counter(read, 1e-3)])
    return turned


def interrupt_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    build = engine._trainer

    def doomed(*arguments: Any, **named: Any) -> L.Trainer:
        trainer = build(*arguments, **named)
        trainer.callbacks.insert(0, StopAfter(steps))  # type: ignore[attr-defined]
        return trainer

    monkeypatch.setattr(engine, "_trainer", doomed)


def test_the_parts_of_an_interrupted_run_add_up(
    tmp_path: Path, a_joule_a_look: Turned, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three epochs and the evaluation, a joule each; what an interrupted epoch drew counts no more than its seconds."""
    with monkeypatch.context() as patched:
        interrupt_after(6, patched)
        with pytest.raises(Interrupted):
            train(tiny(), tmp_path)
    train(tiny(), tmp_path)
    evaluate_run(tmp_path)
    assert collect(tmp_path).energy_joules == 4.0
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["joules"] for line in lines] == [1.0, 1.0, 1.0]
    # One epoch that nobody measured: the rest is no measure of the run.
    del lines[1]["joules"]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert collect(tmp_path).energy_joules is None


def test_a_frozen_network_draws_while_it_is_calibrated(tmp_path: Path, a_joule_a_look: Turned) -> None:
    train(tiny("frozen", evaluation__readout="afterwards"), tmp_path)
    evaluate_run(tmp_path)
    assert collect(tmp_path).energy_joules == 2.0


def test_a_run_that_nobody_measures_has_no_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RAPL", tmp_path / "nowhere")
    train(tiny(), tmp_path / "run")
    assert evaluate_run(tmp_path / "run")["joules"] is None
    assert collect(tmp_path / "run").energy_joules is None
    assert "joules" not in (tmp_path / "run" / "metrics.jsonl").read_text()


@pytest.mark.parametrize(("elsewhere", "told"), [(2.5, 3.5), (float("nan"), None)])
def test_the_processes_of_a_run_add_up(
    elsewhere: float, told: float | None, tmp_path: Path, a_joule_a_look: Turned
) -> None:
    """One that does not tell leaves no sum."""
    asked = []

    def reduce(tensor: torch.Tensor, reduce_op: str) -> torch.Tensor:
        asked.append(reduce_op)
        return tensor + elsewhere

    trainer: Any = PretendTrainer()
    trainer.world_size, trainer.local_rank = 2, 0
    trainer.strategy = SimpleNamespace(root_device=CPU, reduce=reduce)
    journal, folder = Journal(RunFolder(tmp_path)), RunFolder(tmp_path)
    journal.on_train_start(trainer, SimpleNamespace(device=CPU))  # type: ignore[arg-type]
    journal.on_train_epoch_start(trainer, torch.nn.Identity())  # type: ignore[arg-type]
    end_epoch(journal, trainer, 0)
    assert journal_lines(folder)[0].get("joules") == told
    assert asked == ["sum"]
