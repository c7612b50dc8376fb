"""How much two fibers of one image tell of each other, by their distance: the InfoNCE bound on frozen features.

The paper suggests that the distance between g1 and g2 matters through 'the mutual information between fibers as a
function of distance' (section 4, on figure 2). InfoNCE bounds it from below (van den Oord, Li and Vinyals 2018,
equation 5): I(u; v) >= log K - L, with L the cross-entropy of telling an image's own v among those of K images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hssl.errors import DataError
from hssl.groups import Distance, Group
from hssl.heads import Projector

IMAGES_AT_ONCE = 512
_STEPS = 400
_WIDTHS = (64, 64)
_RATE = 3e-3
_TEST_BATCHES = 40


@dataclass(frozen=True)
class Information:
    """The bound at one distance.

    Attributes:
        distance: between the two elements, as the group measures it.
        nats: the bound, of test images with a critic fitted on training images; at most log K. Below zero where the
            critic learned nothing that holds.
        shuffled: the same with the second fiber of another image, at the same two elements: what the estimate gives
            where there is nothing to find.
    """

    distance: float
    nats: float
    shuffled: float


def fiber_information(
    train: Tensor,
    test: Tensor,
    group: Group,
    *,
    kind: Distance = "euclidean",
    distances: Sequence[float] | None = None,
    seed: int = 0,
    images_at_once: int = IMAGES_AT_ONCE,
) -> list[Information]:
    """The InfoNCE bound between the fibers of an image, for each distance between two elements of the group.

    All images of a batch are read at the same two elements, so that what is measured is what the image's fibers share
    and not where they lie: I(z(p); z(q) | p, q), averaged over the ordered pairs (p, q) at that distance.

    Args:
        train, test: features [N, C, |G|] of training and test images from a frozen network.
        group: what the last axis is indexed by.
        kind: how distances are measured.
        distances: those that are wanted; None for every one that there is but 0.
        seed: of critics, batches and pairs.
        images_at_once: K.

    Raises:
        DataError: features of another group, or fewer images than K.
    """
    for name, values in (("training", train), ("test", test)):
        if values.ndim != 3 or values.shape[2] != group.order or len(values) < images_at_once:
            raise DataError(
                f"the {name} features do not fit",
                got=f"{list(values.shape)} for {group}",
                expected=f"[N, C, {group.order}] of at least {images_at_once} images",
            )
    between = group.distances(kind)
    wanted = sorted({float(value) for value in between.flatten()} - {0.0}) if distances is None else distances
    mean, std = train.mean((0, 2), keepdim=True), train.std((0, 2), keepdim=True).clamp(min=1e-6)
    scaled_train, scaled_test = (((values - mean) / std).float() for values in (train, test))
    found = []
    for distance in wanted:
        pairs = torch.nonzero((between - distance).abs() < 1e-9)
        nats, shuffled = (
            _bound(scaled_train, scaled_test, pairs, torch.Generator().manual_seed(seed), images_at_once, other)
            for other in (False, True)
        )
        found.append(Information(float(distance), nats, shuffled))
    return found


def _bound(
    train: Tensor, test: Tensor, pairs: Tensor, generator: torch.Generator, images_at_once: int, other_images: bool
) -> float:
    """log K - L of a critic fitted on `train`, on `test`."""
    channels = train.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        critics = nn.ModuleList(Projector(channels, _WIDTHS) for _ in range(2))
    scale = nn.Parameter(torch.tensor(math.log(5.0)))
    optimizer = torch.optim.AdamW([*critics.parameters(), scale], lr=_RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=_STEPS)

    def loss(values: Tensor) -> Tensor:
        images = torch.randperm(len(values), generator=generator)[:images_at_once]
        p, q = pairs[int(torch.randint(len(pairs), (), generator=generator))].tolist()
        second = images.roll(1) if other_images else images
        one, other = critics[0](values[images, :, p]), critics[1](values[second, :, q])
        logits = scale.exp() * functional.normalize(one, dim=1) @ functional.normalize(other, dim=1).T
        return functional.cross_entropy(logits, torch.arange(len(images)))

    for _ in range(_STEPS):
        optimizer.zero_grad(set_to_none=True)
        loss(train).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    critics.eval()
    with torch.no_grad():
        losses = [float(loss(test)) for _ in range(_TEST_BATCHES)]
    return math.log(images_at_once) - sum(losses) / len(losses)
