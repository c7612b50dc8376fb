"""Batches and transformations on the device against a loader with worker processes, for A-SSL's two views."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hssl.benchmarks.layers import NETWORKS, group_of
from hssl.benchmarks.timing import in_turns
from hssl.data import ImageStore
from hssl.groups import Augmentation, Group

_IMAGES = 4096


class _TwoViews(Dataset[tuple[Tensor, Tensor]]):
    """The usual formulation: one image at a time, normalised and transformed twice."""

    def __init__(self, images: Tensor, group: Group) -> None:
        self.images, self.group = images, group

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = self.images[index : index + 1].float() / 255
        generator = torch.Generator().manual_seed(index)
        first, second = (
            self.group.transform_by(image, self.group.draw(1, image.shape[-1], Augmentation(), generator))
            for _ in range(2)
        )
        return first[0], second[0]


def measure(transformation: str, batch_size: int, workers: int, rounds: int, device: torch.device) -> dict[str, Any]:
    """Seconds of one batch of two views, on the device and by a loader."""
    group = group_of(transformation)
    size = NETWORKS["MNIST"][2][transformation]
    images = torch.randint(
        0, 256, (_IMAGES, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    store = ImageStore(images, None, torch.zeros(1), torch.ones(1)).to(device)
    generator = torch.Generator().manual_seed(0)

    def on_device() -> Tensor:
        batch = store.batch(torch.randperm(len(store))[:batch_size].to(device))
        parameters = group.draw(2 * batch_size, size, Augmentation(), generator)
        return group.transform_by(torch.cat([batch, batch]), parameters.to(device))

    turns = in_turns({"loader": _by_loader(images, group, batch_size, workers), "device": on_device}, rounds, device, 2)
    return {
        "transformation": transformation,
        "batch": batch_size,
        "workers": workers,
        "loader_seconds": turns.median("loader"),
        "device_seconds": turns.median("device"),
        "speedup": turns.speedup("device", over="loader").as_dict(),
    }


def _by_loader(images: Tensor, group: Group, batch_size: int, workers: int) -> Callable[[], object]:
    def batches() -> Iterator[list[Tensor]]:
        loader = DataLoader(
            _TwoViews(images, group), batch_size, shuffle=True, drop_last=True, num_workers=workers,
            persistent_workers=workers > 0,
        )  # fmt: skip
        while True:
            yield from loader

    endless = batches()
    return lambda: next(endless)
