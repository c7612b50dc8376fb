"""Every layer of the paper's networks, forward and backward, by its plan against the plain formulation.

Both sides compute all streams of the same features and the same gradients. Each gets its input as its network would
hand it over: the plain one image after image, the planned one stream after stream and channels-last. Networks of
rotations turn the images before their first layer, so that all streams share its filters: the planned first layer turns
them too, and the layers behind it get maps that are turned already.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hssl.backbones import CIFAR10ResNet20, SteerableBackbone, ThreeLayer, TinyImageNetResNet20
from hssl.benchmarks.timing import Turns, in_turns
from hssl.groups import Group, Rotations, RowLayout, Scales, Translations
from hssl.groups.settings import PAPER_SCALES
from hssl.layers import GroupConv2d, LiftingConv2d, PointwiseConv2d

NETWORKS: dict[str, tuple[type[SteerableBackbone], int, dict[str, int]]] = {
    "MNIST": (ThreeLayer, 1, {"translation": 32, "rotation": 29, "scale": 32}),
    "CIFAR-10": (CIFAR10ResNet20, 3, {"translation": 28, "rotation": 25, "scale": 28}),
    "Tiny ImageNet": (TinyImageNetResNet20, 3, {"translation": 32, "rotation": 25, "scale": 32}),
}
"""Network, channels of the images, and the resolution of the paper's recipes by transformation."""

# Multiply-adds of a dense forward pass that one measured call may cost.
_WORK = 20e9


@dataclass(frozen=True)
class LayerCase:
    """One layer of a network, and how often the network has it.

    Attributes:
        network, transformation: where it stands.
        names: the layers of this form.
        layer: a fresh copy of it.
        size: height and width of its input in pixels.
    """

    network: str
    transformation: str
    names: tuple[str, ...]
    layer: LiftingConv2d | GroupConv2d | PointwiseConv2d
    size: int

    @property
    def streams(self) -> int:
        """Streams of the group axis."""
        return self.layer.group.streams

    @property
    def out_size(self) -> int:
        """Height and width of the output in pixels."""
        return self.layer.spatial_step("").out(self.size)

    @property
    def dense_multiplications(self) -> float:
        """Multiply-adds of the plain formulation for one image, forward."""
        size = 1 if isinstance(self.layer, PointwiseConv2d) else self.layer.spatial_step("").kernel_size
        pairs = self.layer.in_channels * self.layer.out_channels
        return float(self.streams * pairs * size**2 * self.out_size**2)


def group_of(transformation: str) -> Group:
    """The paper's group for a transformation."""
    groups: dict[str, Group] = {"translation": Translations(), "rotation": Rotations(), "scale": Scales(PAPER_SCALES)}
    return groups[transformation]


def cases(width: float = 1.0) -> Iterator[LayerCase]:
    """The distinct layers of each network and group, in the order of their path."""
    for network, (kind, channels, resolutions) in NETWORKS.items():
        for transformation, resolution in resolutions.items():
            backbone = kind(group_of(transformation), in_channels=channels, resolution=resolution, width=width)
            found: dict[str, list[tuple[str, nn.Module, int]]] = {}
            before = size = resolution
            for step in backbone.spatial_steps():
                layer = backbone.get_submodule(step.name)
                seen = before if step.beside else size
                found.setdefault(f"{layer!r} at {seen}", []).append((step.name, layer, seen))
                if not step.beside:
                    before, size = size, step.out(size)
            for alike in found.values():
                layer = alike[0][1]
                assert isinstance(layer, LiftingConv2d | GroupConv2d | PointwiseConv2d)
                names = tuple(name for name, _, _ in alike)
                yield LayerCase(network, transformation, names, layer, alike[0][2])


def measure(case: LayerCase, rounds: int, device: torch.device) -> dict[str, Any]:
    """Seconds of both formulations and their ratio."""
    layer = case.layer.to(device)
    batch = 2 ** max(2, min(8, round(math.log2(_WORK / case.dense_multiplications))))
    shape = (batch, layer.in_channels, case.size, case.size)
    generator = torch.Generator().manual_seed(0)
    if isinstance(layer, LiftingConv2d):
        images = torch.rand(shape, generator=generator).to(device)
        plain = _pass(layer, "plain", images)
        planned = _turned_lifting(layer, images) if layer.group.folds else _pass(layer, "auto", images)
        same_code = not layer.group.folds and layer.computes_plainly(images)
    else:
        rows = torch.rand((case.streams, *shape), generator=generator).to(device)
        plain_input = rows.transpose(0, 1).contiguous().transpose(1, 2)
        last = rows.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        by_stream = last.unflatten(0, rows.shape[:2]).permute(1, 2, 0, 3, 4)  # type: ignore[no-untyped-call]
        plain = _pass(layer, "plain", plain_input.requires_grad_())
        if layer.group.folds and isinstance(layer, GroupConv2d):
            planned = _turned(layer, last.requires_grad_())
        else:
            planned = _pass(layer, "auto", by_stream.requires_grad_())
        same_code = False
    if not isinstance(layer, PointwiseConv2d):
        layer.plan = "auto"
    return _row(case, batch, in_turns({"plain": plain, "planned": planned}, rounds, device), same_code)


def _row(case: LayerCase, batch: int, turns: Turns, same_code: bool) -> dict[str, Any]:
    passes = 2 if isinstance(case.layer, LiftingConv2d) else 3
    return {
        "network": case.network,
        "transformation": case.transformation,
        "layers": list(case.names),
        "layer": repr(case.layer),
        "input": case.size,
        "batch": batch,
        "streams": case.streams,
        "plain_seconds": turns.median("plain"),
        "planned_seconds": turns.median("planned"),
        "speedup": turns.speedup("planned", over="plain").as_dict(),
        "same_code": same_code,
        "dense_gflop": 2e-9 * batch * case.dense_multiplications * passes,
        "megabytes": 4e-6 * batch * case.streams * _values(case) * passes,
    }


def geometric_mean(rows: list[dict[str, Any]]) -> float:
    """Of the median speedups, each layer counted as often as its network has it."""
    logs = [(math.log(row["speedup"]["median"]), len(row["layers"])) for row in rows]
    return math.exp(sum(value * count for value, count in logs) / sum(count for _, count in logs))


def _values(case: LayerCase) -> int:
    """Numbers that one stream of one image reads and writes, forward."""
    return case.layer.in_channels * case.size**2 + case.layer.out_channels * case.out_size**2


def _pass(layer: nn.Module, plan: str, values: Tensor) -> Callable[[], None]:
    def forward() -> Tensor:
        if not isinstance(layer, PointwiseConv2d):
            layer.plan = plan  # type: ignore[assignment]
        return layer(values)  # type: ignore[no-any-return]

    return _with_gradients(layer, forward, values)


def _turned(layer: GroupConv2d, rows: Tensor) -> Callable[[], None]:
    """Rows that are turned already: one stream's filters for all of them."""

    def forward() -> Tensor:
        layer.plan = "auto"
        return layer.rows(rows, RowLayout((len(rows),)))

    return _with_gradients(layer, forward, rows)


def _turned_lifting(layer: LiftingConv2d, images: Tensor) -> Callable[[], None]:
    """Images that are turned first."""
    group = layer.group

    def forward() -> Tensor:
        layer.plan = "auto"
        turned = torch.cat([group.move_maps(images, group.inverse(element)) for element in range(group.streams)])
        return layer.rows(turned, RowLayout((len(turned),)))

    return _with_gradients(layer, forward, images)


def _with_gradients(layer: nn.Module, forward: Callable[[], Tensor], values: Tensor) -> Callable[[], None]:
    gradient: list[Tensor] = []

    def run() -> None:
        out = forward()
        if not gradient:
            gradient.append(torch.randn_like(out))
        torch.autograd.backward(out, gradient[0])
        values.grad = None
        for parameter in layer.parameters():
            parameter.grad = None

    return run
