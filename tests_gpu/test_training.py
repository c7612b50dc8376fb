"""A step on a GPU: no waiting for the device, streams that save work, runs that go on."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hssl.config import override
from hssl.data import ImageStore
from hssl.groups import Rotations, Scales, Translations
from hssl.optimizers import LARS, parameter_groups
from hssl.paper.recipes import recipe
from hssl.training.engine import train
from hssl.training.evaluate import evaluate_run
from hssl.training.module import SSLModule

SMALL = {"trainer.epochs": 3, "trainer.batch_size": 64, "data.train_images": 512, "data.test_images": 128}


def digits(mode: str, transformation: str = "scale", **changes: object):  # type: ignore[no-untyped-def]
    fields = {name.replace("__", "."): value for name, value in changes.items()}
    return override(recipe(f"digits-{transformation}-{mode}", "smoke"), SMALL | fields)


@pytest.mark.parametrize("transformation", ["translation", "rotation", "scale"])
@pytest.mark.parametrize("mode", ["assl", "hssl"])
def test_a_step_never_waits_for_the_device(mode: str, transformation: str, gpu: torch.device) -> None:
    config = digits(mode, transformation)
    module = SSLModule(config, 1, None).to(gpu)
    optimizer = LARS(parameter_groups(module, 1e-4), lr=0.1)
    images = torch.randint(0, 256, (128, 1, config.data.resolution, config.data.resolution), dtype=torch.uint8)
    store = ImageStore(images, None, torch.zeros(1), torch.ones(1)).to(gpu)
    order = torch.arange(64, device=gpu)

    def step(number: int) -> None:
        pairs = module.draw(64, number)
        with torch.autocast("cuda", torch.bfloat16):
            loss = module.method.step(store.batch(order), None, pairs, torch.Tensor.backward).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    step(0)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(1)
        # The control: reading a number back is found out.
        with pytest.raises(RuntimeError, match="synchroniz"):
            store.images.sum().item()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("group", [Translations(), Rotations(), Scales((1.0, 1.25, 1.5))], ids=repr)
def test_images_are_transformed_as_on_the_cpu(group, gpu: torch.device) -> None:  # type: ignore[no-untyped-def]
    images = torch.rand(4, 1, 29, 29)
    if isinstance(group, Scales):
        rows = torch.tensor([[0.6], [0.75], [0.9], [1.0]], dtype=torch.float64)
    elif isinstance(group, Translations):
        rows = torch.tensor([[3, -2], [0, 0], [-4, 1], [5, 5]], dtype=torch.float64)
    else:
        rows = group.parameters(torch.arange(4)).double()
    expected = group.transform_by(images, rows)
    assert torch.allclose(group.transform_by(images.to(gpu), rows.to(gpu)).cpu(), expected, atol=1e-5)
    assert not torch.allclose(images.roll(1, 0), expected, atol=1e-2)


def test_a_run_and_its_continuation(tmp_path: Path, gpu: torch.device) -> None:
    config = digits("hssl")
    train(config, tmp_path / "whole")
    code = (
        "import json, os, sys\n"
        "from pathlib import Path\n"
        "from hssl.config import parse\n"
        "from hssl.training import engine\n"
        "from hssl.training.callbacks import Journal\n"
        "write = Journal.on_train_epoch_end\n"
        "def dying(self, trainer, module):\n"
        "    write(self, trainer, module)\n"
        "    trainer.current_epoch == 1 and os.kill(os.getpid(), 9)\n"
        "Journal.on_train_epoch_end = dying\n"
        "engine.train(parse(json.load(sys.stdin)), Path(sys.argv[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "cut")], input=config.model_dump_json(), text=True, check=False
    )
    assert done.returncode == -9
    train(config, tmp_path / "cut")
    losses = [
        [json.loads(line)["train/loss"] for line in (tmp_path / run / "metrics.jsonl").read_text().splitlines()]
        for run in ("whole", "cut")
    ]
    assert len(losses[0]) == 3
    # Sums in another order on a GPU: the same run to rounding, and no other.
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)
    assert abs(losses[0][0] - losses[0][2]) > 0
    evaluation = evaluate_run(tmp_path / "cut")
    assert evaluation["complete"] is True
    assert evaluation["readout"]["accuracy"] > 20
    assert json.loads((tmp_path / "cut" / "environment.json").read_text())
