"""Batches and transformations on the device against a loader with worker processes, for A-SSL's two views."""

from __future__ import annotations

from collections.abc import Callable
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
    """Seconds of one pass over 4,096 images, two views each, on the device and by a loader."""
    group = group_of(transformation)
    size = NETWORKS["MNIST"][2][transformation]
    images = torch.randint(
        0, 256, (_IMAGES, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    store = ImageStore(images, None, torch.zeros(1), torch.ones(1)).to(device)
    generator = torch.Generator().manual_seed(0)

    def on_device() -> None:
        for indices in torch.randperm(len(store)).split(batch_size):  # type: ignore[no-untyped-call]
            batch = store.batch(indices.to(device))
            parameters = group.draw(2 * len(batch), size, Augmentation(), generator)
            group.transform_by(torch.cat([batch, batch]), parameters.to(device))

    turns = in_turns({"loader": _by_loader(images, group, batch_size, workers), "device": on_device}, rounds, device)
    return {
        "transformation": transformation,
        "batch": batch_size,
        "workers": workers,
        "loader_seconds": turns.median("loader"),
        "device_seconds": turns.median("device"),
        "speedup": turns.speedup("device", over="loader").as_dict(),
    }


def _by_loader(images: Tensor, group: Group, batch_size: int, workers: int) -> Callable[[], None]:
    """A whole pass: workers run ahead, so the time of one batch would be that of taking it off a queue."""
    loader = DataLoader(
        _TwoViews(images, group), batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )

    def run() -> None:
        for _ in loader:
            pass

    return run
