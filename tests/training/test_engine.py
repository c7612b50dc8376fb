"""Whole runs: training, going on after an interruption, refusing what does not fit, evaluating."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from PIL import Image
from torch import nn

from hssl.config import Config
from hssl.data import load_data
from hssl.errors import ConfigurationError, DataError, GroupError, HsslError, RunFolderError, SizeError
from hssl.runs.record import collect
from hssl.training import calibration, engine
from hssl.training.calibration import calibrate
from hssl.training.callbacks import DivergenceError
from hssl.training.checkpoint import save_checkpoint
from hssl.training.engine import check, train
from hssl.training.evaluate import evaluate_run, measure_equivariance
from small_runs import (
    SAMPLED,
    SELF_SUPERVISED,
    Interrupted,
    StopAfter,
    checkpoint,
    labelled_module,
    metrics,
    same,
    snapshot,
    tiny,
    write_images,
)
from waiting import HANG_SECONDS

MODES = ("a-ssl", "h-ssl", "hybrid", "frozen", "supervised")


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes the next run end in an exception after so many steps."""
    build = engine._trainer

    def arm(steps: int) -> None:
        def doomed(*arguments: Any, **named: Any) -> L.Trainer:
            trainer = build(*arguments, **named)
            trainer.callbacks.insert(0, StopAfter(steps))  # type: ignore[attr-defined]
            monkeypatch.setattr(engine, "_trainer", build)
            return trainer

        monkeypatch.setattr(engine, "_trainer", doomed)

    return arm


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One finished run of each mode."""
    root = tmp_path_factory.mktemp("finished")
    for mode in MODES:
        train(tiny(mode), root / mode)
    return {mode: root / mode for mode in MODES}


# -- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["lars", "adamw", "sgd"])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_learns(mode: str, optimizer: str, tmp_path: Path) -> None:
    rate = {"lars": 4.0, "adamw": 4e-3, "sgd": 0.1}[optimizer]
    changes: dict[str, Any] = {"trainer__epochs": 10, "optimizer__name": optimizer, "optimizer__learning_rate": rate}
    if mode in ("frozen", "supervised"):
        # Faster still, and rounding alone decides where it ends.
        changes |= {"trainer__epochs": 30, "optimizer__learning_rate": 2 * rate if mode == "frozen" else rate}
    result = train(tiny(mode, **changes), tmp_path)
    losses = [line["train/loss"] for line in metrics(tmp_path)]
    assert len(losses) == changes["trainer__epochs"]
    # A tenth below its beginning, and below what a network without a signal has: log(classes).
    assert losses[-1] < 0.9 * losses[0]
    if mode not in SELF_SUPERVISED:
        assert losses[-1] < 0.9 * math.log(10)
    assert result["train/loss"] == losses[-1]
    assert result["epochs"] == changes["trainer__epochs"]


@pytest.mark.parametrize("mode", MODES)
def test_a_run_folder_holds_what_it_promises(mode: str, finished: dict[str, Path]) -> None:
    folder = finished[mode]
    names = {entry.name for entry in folder.iterdir()}
    assert names >= {"config.yaml", "environment.json", "metrics.jsonl", "log.txt", "checkpoints", "tensorboard"}
    assert [entry.name for entry in (folder / "checkpoints").iterdir()] == ["last.ckpt"]
    lines = metrics(folder)
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert "test/accuracy" in lines[-1]
    assert not any("test/accuracy" in line for line in lines[:-1])
    assert ("train/readout_loss" in lines[0]) == (mode in SELF_SUPERVISED)


def test_test_accuracy_is_written_where_it_was_measured(tmp_path: Path) -> None:
    train(tiny(trainer__epochs=5, trainer__evaluate_every_epochs=2), tmp_path)
    assert ["test/accuracy" in line for line in metrics(tmp_path)] == [False, True, False, True, False]


def test_frozen_backbone_stays_as_it_was_calibrated(finished: dict[str, Path]) -> None:
    config = tiny("frozen")
    module = labelled_module(config)
    store = load_data(config.data, config.seed).train
    calibrate(module.backbone, store)
    weights = checkpoint(finished["frozen"])["state_dict"]
    for name, tensor in module.backbone.state_dict().items():
        assert torch.equal(weights[f"method.backbone.{name}"], tensor), name
    # The readout did move, so the run did train.
    assert module.readout is not None
    assert not torch.equal(weights["detached_readout.linear.weight"], module.readout.state_dict()["linear.weight"])


def test_supervised_statistics_do_move(finished: dict[str, Path]) -> None:
    weights = checkpoint(finished["supervised"])["state_dict"]
    untrained = labelled_module(tiny("supervised")).state_dict()
    assert not torch.equal(
        weights["method.backbone.norm1.running_mean"], untrained["method.backbone.norm1.running_mean"]
    )
    assert not torch.equal(weights["method.backbone.lift.weight"], untrained["method.backbone.lift.weight"])


def test_calibration_is_the_statistics_of_the_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny("frozen")
    store = load_data(config.data, config.seed).train
    backbone = labelled_module(config).backbone.double()
    module = labelled_module(config).backbone.double()
    with torch.no_grad():
        lifted = backbone.lift(store.batch(torch.arange(len(store)), torch.float64))
    module.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    expected_mean = lifted.mean((0, 2, 3, 4))
    calibrate(module, store)
    assert not module.training
    torch.testing.assert_close(module.norm1.running_mean, expected_mean)
    torch.testing.assert_close(module.norm1.running_var, lifted.transpose(0, 1).flatten(1).var(1))
    assert module.norm1.momentum == 0.1
    # In several passes the mean is still that of all images: every pass holds as many of them.
    monkeypatch.setattr(calibration, "_CHUNK", 16)
    calibrate(module, store)
    torch.testing.assert_close(module.norm1.running_mean, expected_mean)
    # 64 images in passes of at most 60: not 60 and 4, whose average would be far off.
    monkeypatch.setattr(calibration, "_CHUNK", 60)
    calibrate(module, store)
    torch.testing.assert_close(module.norm1.running_mean, expected_mean)


@pytest.mark.parametrize("precision", ["64", "bf16", "auto"])
def test_precisions_on_a_cpu(precision: str, tmp_path: Path) -> None:
    train(tiny(trainer__precision=precision, trainer__epochs=1), tmp_path)
    weights = checkpoint(tmp_path)["state_dict"]["method.backbone.lift.weight"]
    assert weights.dtype == (torch.float64 if precision == "64" else torch.float32)
    assert evaluate_run(tmp_path)["equivariance"]["held"]


def test_accumulated_parts(tmp_path: Path) -> None:
    train(tiny(trainer__accumulate=2, trainer__epochs=2), tmp_path)
    assert [line["step"] for line in metrics(tmp_path)] == [4, 8]


def test_more_than_the_store_in_a_batch(tmp_path: Path) -> None:
    train(tiny(trainer__batch_size=1000, trainer__epochs=2), tmp_path)
    assert [line["step"] for line in metrics(tmp_path)] == [1, 2]


@pytest.mark.parametrize("mode", ["h-ssl", "frozen"])
def test_readout_afterwards(mode: str, tmp_path: Path) -> None:
    config = tiny(mode, evaluation__readout="afterwards", evaluation__readout_epochs=2, trainer__epochs=2)
    train(config, tmp_path)
    # An accuracy of a readout that nobody has trained would be taken for a result.
    assert "test/accuracy" not in (tmp_path / "log.txt").read_text() if mode == "h-ssl" else True
    assert not (tmp_path / "metrics.jsonl").exists() or "accuracy" not in (tmp_path / "metrics.jsonl").read_text()
    assert "afterwards" in evaluate_run(tmp_path)["readout"]["protocol"]
    assert train(config, tmp_path)["epochs"] == 2


@pytest.mark.parametrize("mode", SELF_SUPERVISED)
def test_a_run_that_computes_only_what_it_reads(mode: str, tmp_path: Path) -> None:
    config = tiny(mode, **SAMPLED, trainer__epochs=10, optimizer__learning_rate=4.0, evaluation__readout_epochs=2)
    train(config, tmp_path)
    lines = metrics(tmp_path)
    assert lines[-1]["train/loss"] < 0.9 * lines[0]["train/loss"]
    assert not any("train/accuracy" in line or "test/accuracy" in line for line in lines)
    evaluation = evaluate_run(tmp_path)
    assert evaluation["complete"] is True
    assert evaluation["equivariance"]["held"] is True
    assert "afterwards" in evaluation["readout"]["protocol"]


@pytest.mark.parametrize("plan", ["plain", "measured"])
def test_a_run_in_another_plan_is_nearly_the_same_run(plan: str, tmp_path: Path) -> None:
    """`measured` tries its plans while training, validating (in inference mode) and evaluating."""
    config = tiny(trainer__epochs=1, trainer__precision="64")
    train(config, tmp_path / "auto")
    train(tiny(trainer__epochs=1, trainer__precision="64", backbone__plan=plan), tmp_path / plan)
    expected, weights = (checkpoint(tmp_path / name)["state_dict"] for name in ("auto", plan))
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-8, atol=1e-8)
    assert evaluate_run(tmp_path / plan)["complete"] is True


# -- going on --------------------------------------------------------------------------------------------------------


def assert_same_run(folder: Path, reference: Path) -> None:
    """Weights, optimizer, schedule and metrics, bit for bit."""
    ours, theirs = checkpoint(folder), checkpoint(reference)
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step"):
        assert same(ours[part], theirs[part]), part
    assert metrics(folder) == metrics(reference)


@pytest.mark.parametrize("step", [6, 8, 11])
@pytest.mark.parametrize("mode", ["a-ssl", "h-ssl", "frozen"])
def test_an_interrupted_run_goes_on_bit_for_bit(
    mode: str, step: int, finished: dict[str, Path], tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    stop_after(step)
    with pytest.raises(Interrupted):
        train(tiny(mode), tmp_path)
    assert checkpoint(tmp_path)["epoch"] < 2
    assert not same(checkpoint(tmp_path)["state_dict"], checkpoint(finished[mode])["state_dict"])
    train(tiny(mode), tmp_path)
    assert_same_run(tmp_path, finished[mode])


@pytest.mark.parametrize("transformation", ["rotation", "scale"])
@pytest.mark.parametrize("mode", ["a-ssl", "h-ssl"])
def test_an_interrupted_run_with_sampled_streams_goes_on_bit_for_bit(
    mode: str, transformation: str, tmp_path: Path, stop_after: Callable[[int], None]
) -> None:
    config = tiny(mode, transformation=transformation, **SAMPLED)
    train(config, tmp_path / "whole")
    stop_after(6)
    with pytest.raises(Interrupted):
        train(config, tmp_path / "stopped")
    assert checkpoint(tmp_path / "stopped")["epoch"] == 0
    train(config, tmp_path / "stopped")
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def test_a_run_stopped_twice_with_few_checkpoints(tmp_path: Path, stop_after: Callable[[int], None]) -> None:
    config = tiny(trainer__epochs=5, trainer__checkpoint_every_epochs=2, trainer__evaluate_every_epochs=2)
    train(config, tmp_path / "whole")
    for step in (3, 14):  # before any checkpoint; in the epoch after one that was journalled but not saved
        stop_after(step)
        with pytest.raises(Interrupted):
            train(config, tmp_path / "stopped")
    train(config, tmp_path / "stopped")
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def test_killed_process_goes_on_bit_for_bit(finished: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    script = Path(__file__).parent.parent / "small_runs.py"
    killed = subprocess.run(
        [sys.executable, str(script), "h-ssl", str(folder), "6"], capture_output=True, text=True, timeout=HANG_SECONDS
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert checkpoint(folder)["epoch"] == 0
    # What a kill can leave behind beside it: half a checkpoint, half a line.
    (folder / "checkpoints" / ".last.ckpt.part").write_bytes(b"PK\x03\x04 half of it")
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 1, "ste')
    train(tiny("h-ssl"), folder)
    assert_same_run(folder, finished["h-ssl"])
    assert [entry.name for entry in (folder / "checkpoints").iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("mode", ["h-ssl", "frozen"])
def test_a_finished_run_is_left_alone(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = train(tiny(mode), tmp_path)
    before = snapshot(tmp_path)
    monkeypatch.setattr(engine, "load_data", lambda *_: pytest.fail("a finished run needs no data"))
    again = train(tiny(mode), tmp_path)
    assert snapshot(tmp_path) == before
    assert again == first
    assert again["train/loss"] == metrics(tmp_path)[-1]["train/loss"]
    assert "test/accuracy" in again


def test_another_configuration_is_refused_with_the_difference(finished: dict[str, Path]) -> None:
    folder = finished["h-ssl"]
    before = snapshot(folder)
    with pytest.raises(RunFolderError) as refusal:
        train(tiny(method__temperature=0.25), folder)
    assert "method.temperature: 0.1 there, 0.25 asked" in str(refusal.value)
    assert snapshot(folder) == before


def test_foreign_files_are_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    before = snapshot(tmp_path)
    with pytest.raises(RunFolderError, match=r"thesis\.tex"):
        train(tiny(), tmp_path)
    assert snapshot(tmp_path) == before


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.write_text("mine")
    with pytest.raises(RunFolderError, match="is a file"):
        train(tiny(), place)
    assert place.read_text() == "mine"


def test_a_broken_checkpoint_is_named(finished: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished["h-ssl"], folder)
    last = folder / "checkpoints" / "last.ckpt"
    for content in (last.read_bytes()[:1000], b"", b"not a checkpoint", b"not"):
        last.write_bytes(content)
        for ask in (lambda: train(tiny(), folder), lambda: evaluate_run(folder)):
            with pytest.raises(RunFolderError) as refusal:
                ask()
            assert str(refusal.value).splitlines() == [
                f"{last} is damaged or not a checkpoint",
                "  hint:     delete the file to train that run from its beginning",
            ]
    save_checkpoint({"weights": 1}, last)
    with pytest.raises(RunFolderError, match="not a checkpoint of a run"):
        train(tiny(), folder)


class Payload:
    """Code that unpickling would run."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


def test_no_code_of_a_strangers_checkpoint_runs(finished: dict[str, Path], tmp_path: Path) -> None:
    folder, trace = tmp_path / "run", tmp_path / "trace"
    shutil.copytree(finished["h-ssl"], folder)
    last = folder / "checkpoints" / "last.ckpt"
    save_checkpoint(checkpoint(folder) | {"more": Payload(trace)}, last)
    for ask in (lambda: train(tiny(), folder), lambda: evaluate_run(folder)):
        with pytest.raises(RunFolderError, match="damaged"):
            ask()
    assert not trace.exists()
    torch.load(last, weights_only=False)  # the control: loaded without care, it does run
    assert trace.exists()


def test_each_session_keeps_its_environment(tmp_path: Path, stop_after: Callable[[int], None]) -> None:
    file = tmp_path / "environment.json"
    stop_after(6)
    with pytest.raises(Interrupted):
        train(tiny(), tmp_path)
    first = json.loads(file.read_text())
    file.write_text(json.dumps(first | {"device": "another machine"}))
    train(tiny(), tmp_path)
    kept = json.loads(file.read_text())
    (second,) = kept.pop("sessions")
    assert kept == first | {"device": "another machine"}
    assert second.keys() == first.keys()
    assert second["device"] == first["device"]


def test_settings_without_effect_are_noted_and_change_nothing(tmp_path: Path) -> None:
    asked, usual = tiny("a-ssl", views__smallest_scale=0.7), tiny("a-ssl")
    notes = train(asked, tmp_path / "asked")["notes"]
    assert notes == ("views.smallest_scale 0.7 has no effect here: mode a-ssl, transformation rotation",)
    assert train(asked, tmp_path / "asked")["notes"] == notes
    assert train(usual, tmp_path / "usual")["notes"] == ()
    assert same(checkpoint(tmp_path / "asked")["state_dict"], checkpoint(tmp_path / "usual")["state_dict"])


# -- the data of a run ------------------------------------------------------------------------------------------------


def on_images(root: Path | str, **changes: Any) -> Config:
    return tiny(data__name="folder", data__root=str(root), data__test_images=8, **changes)


def spoil(root: Path) -> None:
    """Another picture in place of one: the same number, the same classes."""
    place = next((root / "class0").iterdir())
    Image.new("L", (13, 13), 200).save(place)


@pytest.fixture
def on_folder(tmp_path: Path) -> Path:
    """A finished run on two classes, in tmp_path / 'run', with its data in tmp_path / 'images'."""
    root = write_images(tmp_path / "images", 40, classes=2)
    train(on_images(root, trainer__epochs=2), tmp_path / "run")
    return tmp_path / "run"


def test_a_run_keeps_what_its_data_was(on_folder: Path, tmp_path: Path) -> None:
    kept = json.loads((on_folder / "data.json").read_text())
    assert kept == load_data(on_images(tmp_path / "images").data).summary()
    assert kept["classes"] == ["class0", "class1"]


def test_a_finished_run_takes_no_other_data(on_folder: Path, tmp_path: Path) -> None:
    before = snapshot(on_folder)
    shutil.copytree(tmp_path / "images", tmp_path / "moved")
    moved = on_images(tmp_path / "moved", trainer__epochs=2)
    assert train(moved, on_folder)["epochs"] == 2
    spoil(tmp_path / "moved")
    with pytest.raises(RunFolderError, match="trained on other data") as refusal:
        train(moved, on_folder)
    assert "pixels or labels" in str(refusal.value)
    assert str(tmp_path / "moved") in str(refusal.value)
    four = write_images(tmp_path / "four", 44, classes=4)
    with pytest.raises(RunFolderError, match=r"classes: 2 classes .* there, 4 classes .* here"):
        train(on_images(four, trainer__epochs=2), on_folder)
    assert snapshot(on_folder) == before


def test_an_interrupted_run_takes_no_other_data(tmp_path: Path, stop_after: Callable[[int], None]) -> None:
    root, folder = write_images(tmp_path / "images", 40, classes=2), tmp_path / "run"
    stop_after(3)
    with pytest.raises(Interrupted):
        train(on_images(root), folder)
    shutil.copytree(root, tmp_path / "copy")
    before = snapshot(folder)
    spoil(root)
    with pytest.raises(RunFolderError, match="trained on other data"):
        train(on_images(root), folder)
    assert snapshot(folder) == before
    train(on_images(tmp_path / "copy"), folder)
    assert metrics(folder)[-1]["epoch"] == 2


def test_evaluation_takes_no_other_data_and_finds_it_elsewhere(on_folder: Path, tmp_path: Path) -> None:
    first = evaluate_run(on_folder)
    (tmp_path / "images").rename(tmp_path / "moved")
    with pytest.raises(DataError, match="does not exist"):
        evaluate_run(on_folder)
    second = evaluate_run(on_folder, str(tmp_path / "moved"))
    assert second["readout"] == first["readout"]
    assert second["knn"] == first["knn"]
    assert str(tmp_path) not in collect(on_folder).model_dump_json()
    assert measure_equivariance(run=on_folder, data_root=str(tmp_path / "moved")) == first["equivariance"]
    spoil(tmp_path / "moved")
    for ask in (evaluate_run, lambda run, root: measure_equivariance(None, run, root)):
        with pytest.raises(RunFolderError, match="trained on other data"):
            ask(on_folder, str(tmp_path / "moved"))


def test_data_is_found_from_any_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "images", 40, classes=2)
    monkeypatch.chdir(tmp_path)
    config = on_images("images", trainer__epochs=1)
    train(config, Path("run"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert evaluate_run(tmp_path / "run")["complete"] is True
    # The same place, told in another way, is no reason to look at the data.
    monkeypatch.setattr(engine, "load_data", lambda *_: pytest.fail("a finished run needs no data"))
    train(on_images("../images", trainer__epochs=1), tmp_path / "run")


# -- refused before anything is written -------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[], Config], type[HsslError], str]] = {
    "a batch of 1": (lambda: tiny(trainer__batch_size=1), ConfigurationError, "negatives"),
    "parts of 1": (lambda: tiny(trainer__batch_size=4, trainer__accumulate=4), ConfigurationError, "negatives"),
    "a part that does not divide": (
        lambda: tiny(trainer__batch_size=10, trainer__accumulate=4),
        ConfigurationError,
        "does not divide",
    ),
    "devices that do not divide": (
        lambda: tiny(trainer__batch_size=16, trainer__devices=3),
        ConfigurationError,
        "does not divide",
    ),
    "a long warm-up": (lambda: tiny(optimizer__warmup_epochs=3.5), ConfigurationError, "warm-up"),
    "an illegal size": (lambda: tiny(data__resolution=14), SizeError, "13 or 17 pixels"),
    "g0 larger than the group": (lambda: tiny(views__base_size=5), GroupError, "does not fit"),
    "g0 with too many axes": (lambda: tiny(views__base_size=(1, 2)), GroupError, "one extent for each"),
    "no such GPU": (lambda: tiny(trainer__accelerator="gpu"), ConfigurationError, "no GPU"),
    "fp16 on a CPU": (lambda: tiny(trainer__precision="fp16"), ConfigurationError, "fp16 on a CPU"),
    "no such data": (lambda: tiny(data__name="folder", data__root="/no/such/place"), DataError, "does not exist"),
    "digits in a folder": (lambda: tiny(data__root="/no/such/place"), ConfigurationError, "embedded"),
    "a group of one": (
        lambda: tiny(transformation="scale", group__factors=(0.5,)),
        ConfigurationError,
        "at least 2 placements",
    ),
    "no distance": (lambda: tiny(views__max_distance=0.0), ConfigurationError, "lets different placements pair"),
    "a readout of streams that are not computed": (
        lambda: tiny(views__streams="sampled"),
        ConfigurationError,
        r"a readout reads all streams[\s\S]*--evaluation.readout afterwards, or --views.streams all",
    ),
    "turns where there are none": (
        lambda: tiny(transformation="translation", backbone__full_extent=True),
        ConfigurationError,
        "cyclic group axis",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_train_is_refused_before_anything_is_written(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ask, kind, words = REFUSED[case]
    out = tmp_path / "run"
    with pytest.raises(kind, match=words):
        train(ask(), out)
    assert not out.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"transformation": "translation", "views__base_size": (1, 1)},
        {"mode": "supervised"},
        {"mode": "frozen"},
        {"backbone__full_extent": True},
    ],
    ids=str,
)
def test_a_readout_alongside_is_fine_where_no_stream_is_left_out(changes: dict[str, Any]) -> None:
    check(tiny(**{"mode": "h-ssl", "views__streams": "sampled"} | changes))


@pytest.mark.parametrize("mode", ["supervised", "frozen"])
def test_modes_that_need_labels_refuse_images_without(mode: str, tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 40)
    with pytest.raises(DataError, match="trains on labels"):
        train(tiny(mode, data__name="folder", data__root=str(root)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_images_without_labels_train_and_evaluate_with_nulls(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 40)
    config = tiny(data__name="folder", data__root=str(root), data__test_images=8, trainer__epochs=2)
    result = train(config, tmp_path / "run")
    assert "train/loss" in result
    assert "train/accuracy" not in result
    evaluation = evaluate_run(tmp_path / "run")
    assert evaluation["labels"] is False
    assert evaluation["readout"] is evaluation["linear_probe"] is evaluation["knn"] is None
    assert evaluation["equivariance"]["held"] is True
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text()) == evaluation


# -- divergence ------------------------------------------------------------------------------------------------------


class Poison(L.Callback):
    """Breaks the weights after a step, or the gradient's loss before it."""

    def __init__(self, step: int, value: float) -> None:
        self.step, self.value = step, value

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if trainer.global_step == self.step:
            with torch.no_grad():
                next(pl_module.parameters()).fill_(self.value)


@pytest.mark.parametrize(("step", "loss_is_null"), [(6, True), (8, False)])
def test_divergence_keeps_the_last_good_checkpoint(
    step: int, loss_is_null: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of an epoch the loss tells; after its last step only the weights do."""
    build = engine._trainer

    def poisoned(*arguments: Any, **named: Any) -> L.Trainer:
        trainer = build(*arguments, **named)
        trainer.callbacks.insert(0, Poison(step, math.nan))  # type: ignore[attr-defined]
        return trainer

    monkeypatch.setattr(engine, "_trainer", poisoned)
    with pytest.raises(DivergenceError, match=r"epoch 1; the last good epoch is in checkpoints/last\.ckpt"):
        train(tiny(), tmp_path)
    kept = checkpoint(tmp_path)
    assert kept["epoch"] == 0
    assert all(tensor.isfinite().all() for tensor in kept["state_dict"].values())
    # Strict JSON: a NaN in it is refused by other readers.
    lines = [
        json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()
    ]
    assert (lines[-1]["train/loss"] is None) == loss_is_null
    assert evaluate_run(tmp_path)["complete"] is False


def _poison_buffer(module: L.LightningModule, optimizer: torch.optim.Optimizer) -> None:
    module.state_dict()["method.backbone.norm1.running_var"].fill_(math.inf)


def _poison_optimizer(module: L.LightningModule, optimizer: torch.optim.Optimizer) -> None:
    optimizer.state[module.get_parameter("method.backbone.lift.weight")]["exp_avg"].fill_(math.nan)


@pytest.mark.parametrize(
    ("poison", "named"),
    [
        (_poison_buffer, "not finite: method.backbone.norm1.running_var\n"),
        (_poison_optimizer, "not finite: the optimizer's exp_avg of method.backbone.lift.weight\n"),
    ],
)
def test_whatever_a_checkpoint_holds_is_finite(
    poison: Callable[[L.LightningModule, torch.optim.Optimizer], None],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here after the last step of an epoch, where no loss and no weight tells."""
    build = engine._trainer

    class AtTheEnd(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
            if trainer.global_step == 8:
                poison(pl_module, trainer.optimizers[0])

    def poisoned(*arguments: Any, **named: Any) -> L.Trainer:
        trainer = build(*arguments, **named)
        trainer.callbacks.insert(0, AtTheEnd())  # type: ignore[attr-defined]
        return trainer

    monkeypatch.setattr(engine, "_trainer", poisoned)
    with pytest.raises(DivergenceError, match="the last good epoch is in") as diverged:
        train(tiny(), tmp_path)
    assert named in str(diverged.value)
    assert checkpoint(tmp_path)["epoch"] == 0
    monkeypatch.undo()
    train(tiny(), tmp_path)
    assert checkpoint(tmp_path)["epoch"] == 2


def test_a_frozen_network_that_is_not_finite_is_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(backbone: nn.Module, _: Any) -> None:
        backbone.state_dict()["norm1.running_mean"].fill_(math.nan)

    monkeypatch.setattr(engine, "calibrate", broken)
    with pytest.raises(DivergenceError, match=r"backbone\.norm1\.running_mean"):
        train(tiny("frozen", evaluation__readout="afterwards"), tmp_path)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_learning_rate_out_of_all_bounds_diverges(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match=r"optimizer\.learning_rate"):
        train(tiny(optimizer__learning_rate=1e30, optimizer__warmup_epochs=0), tmp_path)
    assert list((tmp_path / "checkpoints").iterdir()) == []


# -- evaluation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_evaluation_of_a_finished_run(mode: str, finished: dict[str, Path]) -> None:
    evaluation = evaluate_run(finished[mode])
    assert evaluation == json.loads((finished[mode] / "evaluation.json").read_text())
    assert evaluation["mode"] == mode
    assert (evaluation["epoch"], evaluation["complete"]) == (3, True)
    assert evaluation["identity"] == tiny(mode).identity()
    for figure in ("readout", "linear_probe", "knn"):
        assert 0 <= evaluation[figure]["accuracy"] <= 100
        assert evaluation[figure]["protocol"]
    assert evaluation["equivariance"]["class"] == "exact"
    assert evaluation["equivariance"]["held"] is True
    assert evaluation["data"]["train_images"] == 64
    assert evaluation["data"]["test_images"] == 37
    # The readout that training tried on the test set is the one that is evaluated.
    assert evaluation["readout"]["accuracy"] == pytest.approx(metrics(finished[mode])[-1]["test/accuracy"], abs=1e-4)


@pytest.mark.parametrize("mode", ["frozen", "h-ssl"])
def test_equivariance_before_training_is_that_of_the_frozen_network(mode: str, tmp_path: Path) -> None:
    train(tiny(mode, transformation="scale", backbone__width=0.1, optimizer__learning_rate=4.0), tmp_path)
    evaluation = evaluate_run(tmp_path)
    before, after = (evaluation[name]["errors"] for name in ("equivariance_untrained", "equivariance"))
    assert before.keys() == after.keys()
    # What no training touched is measured twice; what was trained no longer is what it was.
    assert (before == pytest.approx(after, rel=1e-5)) == (mode == "frozen")


def test_evaluation_twice_gives_the_same(finished: dict[str, Path]) -> None:
    first, second = (evaluate_run(finished["h-ssl"]) for _ in range(2))
    assert {**first, "wall_seconds": 0, "joules": 0} == {**second, "wall_seconds": 0, "joules": 0}


def test_evaluation_of_an_interrupted_run(tmp_path: Path, stop_after: Callable[[int], None]) -> None:
    stop_after(6)
    with pytest.raises(Interrupted):
        train(tiny(), tmp_path)
    evaluation = evaluate_run(tmp_path)
    assert (evaluation["epoch"], evaluation["complete"]) == (1, False)


def test_evaluation_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not the folder of a run"):
        evaluate_run(tmp_path)
    with pytest.raises(RunFolderError, match="no such folder"):
        evaluate_run(tmp_path / "nowhere")


def test_evaluation_without_a_checkpoint(tmp_path: Path, stop_after: Callable[[int], None]) -> None:
    stop_after(2)
    with pytest.raises(Interrupted):
        train(tiny(), tmp_path)
    with pytest.raises(RunFolderError, match="no checkpoint yet"):
        evaluate_run(tmp_path)


def test_evaluation_with_other_data_in_its_place(tmp_path: Path) -> None:
    root = write_images(tmp_path / "images", 40, classes=2)
    train(tiny(data__name="folder", data__root=str(root), data__test_images=8, trainer__epochs=1), tmp_path / "run")
    shutil.rmtree(root)
    write_images(root, 40, classes=4)
    with pytest.raises(RunFolderError, match="4 classes"):
        evaluate_run(tmp_path / "run")


def test_equivariance_of_a_run_and_of_a_recipe(finished: dict[str, Path]) -> None:
    for report in (measure_equivariance(run=finished["a-ssl"]), measure_equivariance(tiny())):
        assert report["class"] == "exact"
        assert report["held"] is True
        assert set(report["errors"]) == {"0°", "90°", "180°", "270°"}
    with pytest.raises(ConfigurationError, match="recipe or a run"):
        measure_equivariance()


# -- two processes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("streams", "readout"), [("all", "alongside"), ("sampled", "afterwards")])
def test_two_processes_train_as_one(streams: str, readout: str, tmp_path: Path) -> None:
    """Through the command line, since its second process is a repetition of the command."""
    fields = {
        "trainer.precision": "64",
        "trainer.epochs": "2",
        "trainer.evaluate_every_epochs": "1",
        "trainer.devices": "2",
        "trainer.threads": "1",
        "data.resolution": "13",
        "data.resize_to": "12",
        "data.train_images": "64",
        "data.test_images": "37",  # does not divide: one process sees an image more
        "trainer.batch_size": "16",
        "trainer.accelerator": "cpu",
        "backbone.width": "0.125",
        "evaluation.readout": readout,
        "views.streams": streams,
    }
    words = [word for name, value in fields.items() for word in (f"--{name}", value)]
    words += ["--out", str(tmp_path / "two")]
    two = subprocess.run(
        [sys.executable, "-m", "hssl.cli", "train", "digits-rotation-hssl", "--budget", "smoke", *words],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        env={name: value for name, value in os.environ.items() if name not in ("LOCAL_RANK", "WORLD_SIZE")},
    )
    assert two.returncode == 0, two.stderr
    changes = {"trainer__precision": "64", "trainer__epochs": 2, "trainer__evaluate_every_epochs": 1}
    changes |= {"trainer__threads": 1, "views__streams": streams, "evaluation__readout": readout}
    train(tiny(**changes), tmp_path / "one")
    together, alone = metrics(tmp_path / "two"), metrics(tmp_path / "one")
    assert len(together) == len(alone) == 2
    for ours, theirs in zip(together, alone, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)  # as far as the journal rounds
    weights, expected = checkpoint(tmp_path / "two")["state_dict"], checkpoint(tmp_path / "one")["state_dict"]
    assert weights.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-10, atol=1e-10)
    # Each line is said once, not by every process.
    assert len((tmp_path / "two" / "log.txt").read_text().splitlines()) == 3
    assert evaluate_run(tmp_path / "two")["complete"] is True


def test_a_norm_left_local_would_show() -> None:
    """The control of the test above: statistics of half a batch are not those of the whole."""
    x = torch.rand(8, 3, 2, generator=torch.Generator().manual_seed(0))
    norm = nn.BatchNorm1d(3)
    assert not torch.allclose(norm(x)[:4], norm(x[:4]), atol=1e-2)
