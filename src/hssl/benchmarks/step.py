"""A whole training step, draw to optimizer: planned and sampled against the plain formulation, H-SSL against A-SSL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hssl.benchmarks.machine import peak_megabytes, start_of_peak
from hssl.benchmarks.timing import in_turns
from hssl.config import Config, override
from hssl.data import ImageStore
from hssl.optimizers import LARS, parameter_groups
from hssl.paper.recipes import recipe
from hssl.training.module import SSLModule

_PLAIN = {"backbone.plan": "plain", "views.streams": "all"}


@dataclass(frozen=True)
class StepCase:
    """One network and the batch that its step is measured with.

    Attributes:
        stem: the recipe without its mode; its network at full width and the paper's settings.
        batch_size: images on a CPU; the paper's 4096 does not fit its patience.
        channels: of the images.
        gpu_batch_size: images on a GPU, about the paper's where the plain formulation has room for them.
    """

    stem: str
    batch_size: int
    channels: int
    gpu_batch_size: int = 4096

    def on(self, device: torch.device) -> StepCase:
        """The case with the batch for a device."""
        return self if device.type == "cpu" else replace(self, batch_size=self.gpu_batch_size)


# Whole decks of pairs (36 of six scales, 16 of four turns): every step has the same shapes.
CASES = (
    StepCase("mnist-scale", 252, 1, 4068),
    StepCase("mnist-rotation", 256, 1),
    StepCase("cifar10-scale", 36, 3, 504),
)
TRANSLATION = StepCase("mnist-translation", 256, 1)


class Stepper:
    """A module with its optimizer and a store of random images; each call is one step on fresh pairs.

    On a GPU with bfloat16 in mixed precision, as training there (`trainer.precision auto`).
    """

    def __init__(self, config: Config, channels: int, device: torch.device) -> None:
        self.config = config
        self.module = SSLModule(config, channels, None).to(device)
        self.module.train()
        self.optimizer = LARS(parameter_groups(self.module, config.optimizer.weight_decay), lr=1e-3)
        generator = torch.Generator().manual_seed(0)
        size = config.data.resolution
        count = 2 * config.trainer.batch_size
        images = torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator)
        self.store = ImageStore(images, None, torch.zeros(channels), torch.ones(channels)).to(device)
        self.device = device
        self.half = device.type == "cuda" and torch.cuda.is_bf16_supported()
        self._step = 0

    def __call__(self) -> None:
        """Draw, cut the batch, apply, project, objective, backward, optimizer."""
        batch = self.config.trainer.batch_size
        indices = torch.randperm(len(self.store), device=self.device)[:batch]
        pairs = self.module.draw(batch, self._step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            step = self.module.method.step(self.store.batch(indices), None, pairs, Tensor.backward)
        self.optimizer.zero_grad(set_to_none=True)
        assert step.loss is not None
        step.loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._step += 1


def configuration(case: StepCase, mode: str, **changes: Any) -> Config:
    """The case's recipe at full width, with sampled streams where it has streams, and no readout in the step."""
    fields: dict[str, Any] = {
        "trainer.batch_size": case.batch_size,
        "evaluation.readout": "afterwards",
        "views.streams": "sampled",
    }
    return override(recipe(f"{case.stem}-{mode}", "paper"), fields | changes)


def against_plain(case: StepCase, mode: str, rounds: int, device: torch.device) -> dict[str, Any]:
    """The step as it trains against the plain formulation: all streams, dense kernels rebuilt, grouped convolution."""
    fast = Stepper(configuration(case, mode), case.channels, device)
    all_streams = Stepper(configuration(case, mode, **{"views.streams": "all"}), case.channels, device)
    slow = Stepper(configuration(case, mode, **_PLAIN), case.channels, device)
    turns = in_turns({"plain": slow, "all streams": all_streams, "sampled": fast}, rounds, device)
    return {
        "comparison": "plain",
        "stem": case.stem,
        "mode": mode,
        "batch": case.batch_size,
        "plain_seconds": turns.median("plain"),
        "all_streams_seconds": turns.median("all streams"),
        "seconds": turns.median("sampled"),
        "speedup": turns.speedup("sampled", over="plain").as_dict(),
        "speedup_all_streams": turns.speedup("all streams", over="plain").as_dict(),
        **({} if device.type == "cpu" else {"megabytes": _peak(fast, device), "plain_megabytes": _peak(slow, device)}),
    }


def _peak(stepper: Stepper, device: torch.device) -> float:
    """What a step takes beside what was there before it, in MB."""
    before = start_of_peak(device)
    stepper()
    return peak_megabytes(device) - before


def one_forward_against_two(case: StepCase, rounds: int, device: torch.device) -> dict[str, Any]:
    """H-SSL over A-SSL at equal settings, both planned."""
    turns = in_turns(
        {mode: Stepper(configuration(case, mode), case.channels, device) for mode in ("assl", "hssl")}, rounds, device
    )
    share = turns.speedup("assl", over="hssl")
    return {
        "comparison": "h-ssl over a-ssl",
        "stem": case.stem,
        "batch": case.batch_size,
        "assl_seconds": turns.median("assl"),
        "hssl_seconds": turns.median("hssl"),
        "time_ratio": share.as_dict(),
    }


def share_outside(case: StepCase, mode: str, rounds: int, device: torch.device) -> dict[str, Any]:
    """The share of a step that is neither model nor loss nor optimizer: drawing, cutting the batch, transforming.

    Measured by doing only that, in turns with whole steps.
    """
    stepper = Stepper(configuration(case, mode), case.channels, device)
    turns = in_turns({"outside": _outside(stepper), "step": stepper}, rounds, device)
    return {
        "comparison": "outside",
        "stem": case.stem,
        "mode": mode,
        "batch": case.batch_size,
        "seconds": turns.median("step"),
        "outside_seconds": turns.median("outside"),
        "share": turns.speedup("step", over="outside").as_dict(),
    }


def _outside(stepper: Stepper) -> Callable[[], None]:
    batch, module = stepper.config.trainer.batch_size, stepper.module

    def run() -> None:
        indices = torch.randperm(len(stepper.store), device=stepper.device)[:batch]
        images = stepper.store.batch(indices)
        pairs = module.draw(batch, 0)
        if pairs.parameters_1 is not None and pairs.parameters_2 is not None:
            both = torch.cat([pairs.parameters_1, pairs.parameters_2])
            module.backbone.group.transform_by(torch.cat([images, images]), both)

    return run
