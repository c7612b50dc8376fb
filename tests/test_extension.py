"""One's own parts, each written here and named by its import path: trained, evaluated, compared and reported.

Nothing of hssl is changed for them. The method is written twice: with a teacher that is a moving average, and with two
stages that learn by themselves.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from hssl.backbones import Backbone
from hssl.backbones.settings import BackboneSettings
from hssl.cli import main
from hssl.config import load
from hssl.data import DataSource, Images
from hssl.data.settings import DataSettings
from hssl.groups import BaseSpace, Distance, Exactness, Group, GroupFeatures, Product, Rotations, Translations
from hssl.groups.settings import GroupSettings
from hssl.methods import Method, Step
from hssl.methods.settings import MethodSettings
from hssl.objectives import contrastive
from hssl.runs.record import read
from hssl.training.checkpoint import load_checkpoint
from hssl.views import Bundles, Encode, Pairs, Views
from hssl.views.settings import ViewsSettings

ME = "test_extension"


# -- a method with a teacher -------------------------------------------------------------------------------------------


class TeacherSettings(MethodSettings):
    """What the command line may set of it."""

    decay: float = Field(default=0.9, ge=0, lt=1, description="share of the teacher that a step keeps")


class Teacher(Method):
    """BYOL in a few lines: a predictor of the projections of a moving average of the network."""

    Settings = TeacherSettings

    def __init__(self, backbone: Backbone, views: Views, classes: int | None, *, decay: float) -> None:
        super().__init__(backbone, views, classes)
        self.decay = decay
        self.projector = backbone.build_projector(views.base.size)
        width = self.projector[-2].out_features
        self.predictor = nn.Linear(int(width), int(width))
        self.teacher = copy.deepcopy(nn.ModuleList([backbone, self.projector])).requires_grad_(False)

    def step(
        self, images: Tensor, labels: Tensor | None, pairs: Pairs | None, backward: Callable[[Tensor], None]
    ) -> Step:
        assert self.views is not None
        assert pairs is not None
        seen = self.views(images, self.backbone, pairs)
        with torch.no_grad():
            shown = self.views(images, self.teacher[0], pairs)
            targets = [self.teacher[1](bundle) for bundle in shown[:2]]
        guesses = [self.predictor(self.projector(bundle)) for bundle in seen[:2]]
        near = [functional.cosine_similarity(*pair).mean() for pair in zip(guesses, reversed(targets), strict=True)]
        loss = 2 - near[0] - near[1]
        return Step(loss, seen.features, {"similarity": 1 - loss / 2})

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        student = nn.ModuleList([self.backbone, self.projector])
        for slow, fast in zip(self.teacher.parameters(), student.parameters(), strict=True):
            slow.lerp_(fast, 1 - self.decay)


# -- the same, in stages that learn by themselves ----------------------------------------------------------------------


class Isolated(Method):
    """Greedy InfoMax in a few lines: each half of the network has a loss of its own, and no gradient passes between."""

    def __init__(self, backbone: Backbone, views: Views, classes: int | None) -> None:
        super().__init__(backbone, views, classes)
        blank = backbone.enter(torch.zeros(2, backbone.in_channels, backbone.resolution, backbone.resolution))
        self.projectors = nn.ModuleList()
        with torch.no_grad():
            for stage in backbone.stages():
                blank = stage(blank)
                self.projectors.append(nn.Linear(views.base.size * blank.channels, 16))

    def step(
        self, images: Tensor, labels: Tensor | None, pairs: Pairs | None, backward: Callable[[Tensor], None]
    ) -> Step:
        assert pairs is not None
        z, logs = self.backbone.enter(images), {}
        for index, (stage, projector) in enumerate(zip(self.backbone.stages(), self.projectors, strict=True)):
            z = stage(z.detach())
            pooled = z.pool_space()
            loss = contrastive(projector(pooled.at(pairs.positions_1)), projector(pooled.at(pairs.positions_2)))
            logs[f"loss_of_stage_{index}"] = loss
            backward(loss)
        return Step(None, self.backbone.leave(z), {"loss": torch.stack(list(logs.values())).sum(), **logs})


# -- a group -----------------------------------------------------------------------------------------------------------


class TurnsSettings(GroupSettings):
    half: bool = Field(default=False, description="half turns alone")


class Turns(Rotations):
    """Quarter turns, or half turns alone: a group that the package does not have."""

    Settings = TurnsSettings

    def __init__(self, *, half: bool) -> None:
        self.half = half
        if half:
            self.axes = (2,)

    @property
    def elements(self) -> tuple[str, ...]:
        return ("0°", "180°") if self.half else super().elements

    def inverse(self, element: int) -> int:
        return -self.check(element) % self.order

    def act(self, element: int, positions: Tensor) -> Tensor:
        return (positions + self.check(element)) % self.order

    def distances(self, kind: Distance = "topological") -> Tensor:
        return super().distances(kind)[: self.order, : self.order]

    def parameters(self, elements: Tensor) -> Tensor:
        return super().parameters(elements * (2 if self.half else 1))

    def draw(self, batch_size: int, image_size: int, augmentation: object, generator: torch.Generator) -> Tensor:
        return self.parameters(torch.randint(0, self.order, (batch_size,), generator=generator))

    def placements(self, size: tuple[int, ...]) -> Tensor:
        return (torch.arange(self.order)[:, None] + torch.arange(size[0])) % self.order

    def orient(self, kernels: Tensor) -> Tensor:
        return super().orient(kernels)[..., :: 2 if self.half else 1, :, :]

    def move_maps(self, maps: Tensor, element: int) -> Tensor:
        return torch.rot90(maps, self.check(element) * (2 if self.half else 1), (-2, -1))

    def __repr__(self) -> str:
        return f"Turns({self.order})"


# -- a backbone --------------------------------------------------------------------------------------------------------


class NetSettings(BackboneSettings):
    depth: int = Field(default=1, ge=1, description="convolutions after the first")


class Net(Backbone):
    """Each image turned by every element, one small network for all of them, and its maps turned back."""

    Settings = NetSettings

    def __init__(self, group: Group, *, in_channels: int, resolution: int, width: float, depth: int) -> None:
        super().__init__()
        self.group, self.in_channels, self.resolution, self.width = group, in_channels, resolution, width
        self.channels = max(4, round(32 * width))
        layers: list[nn.Module] = [nn.Conv2d(in_channels, self.channels, 5, padding=2)]
        for _ in range(depth):
            layers += [nn.ReLU(), nn.Conv2d(self.channels, self.channels, 3, padding=1)]
        self.layers = nn.Sequential(*layers)
        self.feature_group = Product(group, Translations((resolution, resolution)))

    def spatial_steps(self) -> Sequence[object]:
        return ()

    def stages(self) -> Sequence[Callable[[Tensor], Tensor]]:
        return (self.turned,)

    def turned(self, images: Tensor) -> Tensor:
        group = self.group
        maps = [self.layers(group.move_maps(images, group.inverse(g))) for g in range(group.order)]
        return torch.stack([group.move_maps(one, g) for g, one in enumerate(maps)], dim=2)


# -- views with weights ------------------------------------------------------------------------------------------------


class WeighingSettings(ViewsSettings):
    label = "weighing"
    start: float = Field(default=1.0, description="the weight of every channel at first")


class Weighing(Views):
    """Two places of one feature map, each channel weighed by what is learned."""

    Settings = WeighingSettings

    def __init__(self, base: BaseSpace, channels: int, start: float) -> None:
        super().__init__(base)
        self.weights = nn.Parameter(torch.full((base.size * channels,), start))

    @classmethod
    def of(
        cls, backbone: Backbone, image_size: int, *, base_size: int | tuple[int, ...], joint: bool, start: float
    ) -> Weighing:
        return cls(BaseSpace(backbone.group, base_size), backbone.channels, start)

    def draw(self, batch_size: int, generator: torch.Generator) -> Pairs:
        places = torch.randint(0, self.base.count, (2, batch_size), generator=generator)
        return Pairs(self.base.at(places[0]), self.base.at(places[1]))

    def forward(self, images: Tensor, encode: Encode, pairs: Pairs) -> Bundles:
        features = encode(images)
        z = self.read(features)
        return Bundles(z.at(pairs.positions_1) * self.weights, z.at(pairs.positions_2) * self.weights, features)


# -- a data source -----------------------------------------------------------------------------------------------------


class BarsSettings(DataSettings):
    bars: int = Field(default=3, ge=1, le=6, description="classes: where the bright bar is")


class Bars(DataSource):
    """Noise with a bright bar, in colour; there is no test split, so a share is held out."""

    Settings = BarsSettings
    settings: BarsSettings

    def train(self) -> Images:
        chance = np.random.default_rng(0)
        labels = np.arange(90) % self.settings.bars
        pixels = chance.integers(0, 80, (len(labels), 13, 13, 3), dtype=np.uint8)
        pixels[np.arange(len(labels)), :, 2 * labels] = 255
        return Images(pixels, labels, [f"bar {bar}" for bar in range(self.settings.bars)])


# -- how they are used -------------------------------------------------------------------------------------------------

OURS = {
    "--data.name": f"{ME}:Bars", "--data.bars": "2", "--data.resolution": "13", "--data.test_images": "20",
    "--group.name": f"{ME}:Turns", "--group.half": "true",
    "--backbone.name": f"{ME}:Net", "--backbone.depth": "1", "--backbone.width": "0.25",
    "--views.name": f"{ME}:Weighing", "--views.start": "0.5",
    "--method.name": f"{ME}:Teacher", "--method.decay": "0.5",
    "--trainer.batch_size": "16", "--trainer.epochs": "2", "--trainer.accelerator": "cpu",
}  # fmt: skip


def words(changes: dict[str, str]) -> list[str]:
    return [word for pair in changes.items() for word in pair]


def state(run: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = load_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    return tensors


def test_all_of_them_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(["train", "custom", "--budget", "smoke", *words(OURS), "--out", str(run)]) == 0
    config = load(run / "config.yaml")
    assert (config.method.decay, config.group.half, config.data.bars) == (0.5, True, 2)  # type: ignore[attr-defined]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {"train/loss", "train/similarity"} <= lines[-1].keys() | {"train/similarity"}
    tensors = state(run)
    # The views learned, and the teacher followed the student.
    assert not torch.equal(tensors["method.views.weights"], torch.full((8,), 0.5))
    slow, fast = tensors["method.teacher.0.layers.0.weight"], tensors["method.backbone.layers.0.weight"]
    assert 0 < (slow - fast).norm() < 0.5 * fast.norm()
    assert main(["evaluate", str(run)]) == 0
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert all(evaluation[name]["accuracy"] > 0 for name in ("readout", "linear_probe", "knn"))
    assert evaluation["equivariance"]["errors"].keys() == {"0°", "180°"}
    assert max(evaluation["equivariance"]["errors"].values()) < 1e-4
    shown = capsys.readouterr().out
    assert "linear probe" in shown


def test_stages_learn_by_themselves(tmp_path: Path) -> None:
    own = {"--method.name": f"{ME}:Isolated", "--data.resolution": "13", "--data.train_images": "64"}
    small = {name: OURS[name] for name in ("--trainer.batch_size", "--trainer.epochs", "--trainer.accelerator")}
    whole = {"--backbone.width": "0.125", "--group": "c4", "--evaluation.readout": "afterwards"}
    run = tmp_path / "run"
    assert main(["train", "custom", "--budget", "smoke", *words(own | small | whole), "--out", str(run)]) == 0
    config = load(run / "config.yaml")
    assert config.group.name == "rotations"
    tensors = state(run)
    assert sum(name.startswith("method.projectors") for name in tensors) == 6


def test_no_gradient_passes_between_the_stages() -> None:
    from hssl.config import Config, override
    from hssl.training.module import SSLModule

    fields = {"group": "c4", "method.name": f"{ME}:Isolated", "data.resolution": 13, "backbone.width": 1 / 8}
    method = SSLModule(override(Config(), fields), 1, None).method
    assert method.views is not None
    pairs = method.views.draw(8, torch.Generator().manual_seed(0))
    gradients: list[list[bool]] = []

    def backward(loss: Tensor) -> None:
        for parameter in method.parameters():
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        layers = [method.backbone.get_submodule(name) for name in ("lift", "conv2", "conv3")]
        gradients.append([layer.weight.grad is not None for layer in layers])

    method.step(torch.rand(8, 1, 13, 13), None, pairs, backward)
    assert gradients == [[True, False, False], [False, True, False], [False, False, True]]


def test_they_are_compared_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = {name: value for name, value in OURS.items() if not name.startswith("--method")}
    vary = f"method.name=contrastive,{ME}:Teacher,frozen"
    decay = ["--method.decay", "0.5"]
    command = ["compare", "custom", "--budget", "smoke", "--vary", vary, *decay, *words(fields)]
    assert main([*command, "--out", str(tmp_path)]) == 0
    records = [read(file) for file in (tmp_path / "records").iterdir()]
    assert {record.configuration["method"].get("decay") for record in records} == {None, 0.5}
    page = (tmp_path / "report.html").read_text()
    shown = capsys.readouterr().out
    for name in (f"{ME}:Teacher", "Frozen"):
        assert name in page
        assert re.sub(r"\s", "", name)[:14] in re.sub(r"\s", "", shown)
    # A field that only one of the runs has is set there; one that none has is refused.
    assert main([*command, "--method.decya", "0.5", "--out", str(tmp_path)]) == 2
    assert "method.decya" in capsys.readouterr().err


def test_their_fields_are_listed_and_validated(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["recipes", "--fields", "--method.name", f"{ME}:Teacher"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--method.decay" in shown
    assert "number >= 0 and < 1" in shown
    for changes, told in (
        ({"--method.decay": "1.5"}, "'method.decay' got 1.5"),
        ({"--method.dekay": "0.5"}, "did you mean 'method.decay'?"),
        ({"--method.name": f"{ME}:Net"}, "is no method"),
        ({"--method.name": f"{ME}:Teecher"}, "did you mean 'Teacher'?"),
        ({"--method.name": "nowhere:Teacher"}, "cannot be imported"),
        ({"--data.name": f"{ME}:Net"}, "is no data"),
    ):
        assert main(["train", "custom", *words(OURS | changes), "--out", str(tmp_path / "run")]) == 2
        assert told in capsys.readouterr().err
        assert not (tmp_path / "run").exists()


def test_the_group_is_one() -> None:
    group = Turns(half=True)
    assert group.exactness is Exactness.EXACT
    image = torch.rand(1, 1, 5, 5)
    assert torch.equal(group.transform(image, 1), torch.rot90(image, 2, (-2, -1)))
    assert GroupFeatures(torch.rand(2, 3, 2), group).transform(1).values.shape == (2, 3, 2)
