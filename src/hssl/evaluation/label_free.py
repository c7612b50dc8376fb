"""What features look like without labels: how many directions they use, and what a transformation does to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hssl.data.store import Store
from hssl.errors import DataError
from hssl.evaluation.embeddings import encoded
from hssl.evaluation.labelled_features import check_finite
from hssl.groups import Augmentation, Group, Translations, Unstructured

IMAGES = 2_000
NEIGHBOURS = 10
# Any number would do. It is fixed, so that all runs see their images transformed in the same way.
_MOVES_SEED = 20_260


@dataclass(frozen=True)
class LabelFree:
    """Measures of a representation that need no label; see the functions of the same names.

    Attributes:
        effective_rank: directions that the features use, 1 to min(N - 1, D); 0 where they are all equal.
        alignment: mean squared distance of an image's feature from its transformed copy's, 0 to 4; 0 is invariant.
        uniformity: 0 where all features are one, about -4 on a sphere of many dimensions; lower is more uniform.
        neighbour_agreement: share of neighbours that an image and its transformed copy have in common, 0 to 1.
        neighbour_chance: that share for features that have nothing to do with each other.
        neighbours: k.
        images: N.
    """

    effective_rank: float
    alignment: float
    uniformity: float
    neighbour_agreement: float
    neighbour_chance: float
    neighbours: int
    images: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `evaluation.json`."""
        return asdict(self)


def label_free(
    encode: Callable[[Tensor], Tensor],
    store: Store,
    group: Group,
    *,
    images: int = IMAGES,
    neighbours: int = NEIGHBOURS,
    batch_size: int = 256,
) -> LabelFree:
    """All measures, of images of a store as they are and transformed by `moves`.

    Args:
        encode: images [B, C, H, W] to features [B, D]; its network is already in eval mode.
        store: on the device of the network. At most `images` of it are taken, evenly over its order, which may be by
            class.
        group: what images are transformed by: a backbone's `group`.
        images: how many images at most.
        neighbours: k of the neighbour agreement.
        batch_size: images a pass; it changes the memory, not the features.

    Raises:
        DataError: not more images than neighbours, or features that are not finite.
        SizeError: `encode` gives something else than one vector an image.
    """
    count = min(images, len(store))
    _check_neighbours(count, neighbours)
    places = torch.arange(count, device=store.device) * len(store) // count
    parameters = moves(group, count, store.shape[-1])
    before, after = [], []
    with torch.inference_mode():
        for indices, of_these in zip(torch.split(places, batch_size), torch.split(parameters, batch_size), strict=True):
            batch = store.batch(indices)
            before.append(encoded(encode, batch))
            after.append(encoded(encode, group.transform_by(batch, of_these)))
    return measure(torch.cat(before), torch.cat(after), neighbours)


def moves(group: Group, count: int, image_size: int) -> Tensor:
    """One fixed transformation for each of `count` images, float64 [count, P] for `group.transform_by`.

    Closed groups of filters: an element other than the identity, uniform. Others: the draw of A-SSL (appendix B),
    shifts up to 20 % of the image's size or a factor from 0.57 to 1. Networks without structure: what their images are
    transformed by. The same for all runs: it depends on the group, the count and the size alone.
    """
    by = group.images_by if isinstance(group, Unstructured) else group
    generator = torch.Generator().manual_seed(_MOVES_SEED)
    if not by.closed or isinstance(by, Translations):
        return by.draw(count, image_size, Augmentation(), generator)
    others = torch.tensor([element for element in range(by.order) if element != by.identity])
    return by.parameters(others[torch.randint(len(others), (count,), generator=generator)])


def measure(before: Tensor, after: Tensor, neighbours: int = NEIGHBOURS) -> LabelFree:
    """All measures of features [N, D] of images and of their transformed copies; errors as in `label_free`."""
    before, after = _checked(before, after)
    return LabelFree(
        effective_rank(before),
        alignment(before, after),
        uniformity(before),
        neighbour_agreement(before, after, neighbours),
        chance_agreement(len(before), neighbours),
        neighbours,
        len(before),
    )


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the singular values, each over their sum (Roy and Vetterli 2007), of centred features.

    Centred, unlike RankMe (Garrido et al. 2023): features behind a ReLU share a large mean, which says nothing about
    images and would stand for most of the sum. 1 where one direction is used, D where all are used evenly; 0 where the
    features [N, D] are all equal up to rounding.

    Raises:
        DataError: no features, or some that are not finite.
    """
    _check(features, "the features")
    values = features.double()
    centred = values - values.mean(0)
    if centred.norm() <= 100 * torch.finfo(features.dtype).eps * values.norm():
        return 0.0
    with _one_thread():
        singular = torch.linalg.svdvals(centred)
    shares = singular / singular.sum()
    return math.exp(-float(torch.xlogy(shares, shares).sum()))


@contextmanager
def _one_thread() -> Iterator[None]:
    """A decomposition is many small steps, after each of which its threads wait for one another.

    For 2,000 x 768 one thread takes 0.15 s, two take 0.1 s on cores of their own and 3 to 14 s on shared ones.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def alignment(before: Tensor, after: Tensor) -> float:
    """Mean ||u - v||^2 of the unit-norm features [N, D] of images and of their transformed copies.

    Wang and Isola 2020, with alpha = 2: 0 where the transformation changes no direction, 2 where the directions have
    nothing to do with each other. Read it beside `uniformity`: where all features are one, it is 0 too. A zero vector
    has no direction and stays zero.

    Raises:
        DataError: shapes that differ, no features, or some that are not finite.
    """
    before, after = _checked(before, after)
    return float((_unit(before) - _unit(after)).square().sum(1).mean())


def uniformity(features: Tensor) -> float:
    """log of the mean of exp(-2 ||u - v||^2) over distinct pairs of unit-norm features [N, D].

    Wang and Isola 2020, with t = 2. 0 where all features are one; about -4 where they are spread evenly over a sphere
    of many dimensions. Features behind a ReLU have no negative coordinate, which keeps them above that.

    Raises:
        DataError: fewer than two features, or some that are not finite.
    """
    _check(features, "the features", at_least=2)
    unit = _unit(features)
    squares = unit.square().sum(1)
    distances = (squares[:, None] + squares[None, :] - 2 * unit @ unit.T).clamp(min=0)
    kernel = (-2 * distances).exp()
    count = len(unit)
    return math.log((float(kernel.sum()) - float(kernel.diagonal().sum())) / (count * (count - 1)))


def neighbour_agreement(before: Tensor, after: Tensor, neighbours: int = NEIGHBOURS) -> float:
    """Share of the k nearest neighbours that an image has in common with its own transformed copy, 0 to 1.

    Both look among the features [N, D] of the images as they are, by cosine, and both leave the image itself out. 1
    where the transformation changes no neighbourhood; k / (N - 1) where chance decides, see `chance_agreement`. Where
    all features are one, nothing tells neighbours apart and the figure says nothing: read the effective rank first.

    Raises:
        DataError: shapes that differ, not more images than neighbours, or features that are not finite.
    """
    before, after = _checked(before, after)
    _check_neighbours(len(before), neighbours)
    among = _unit(before)
    first, second = (_nearest(unit, among, neighbours) for unit in (among, _unit(after)))
    return float((first & second).sum()) / (len(before) * neighbours)


def chance_agreement(images: int, neighbours: int = NEIGHBOURS) -> float:
    """k / (N - 1): the expected agreement of neighbourhoods that have nothing to do with each other."""
    return neighbours / (images - 1)


def _nearest(unit: Tensor, among: Tensor, neighbours: int) -> Tensor:
    """Whether column j is one of the nearest of row i, bool [N, N]; never i itself."""
    cosine = (unit @ among.T).fill_diagonal_(-math.inf)
    chosen = torch.zeros_like(cosine, dtype=torch.bool)
    return chosen.scatter_(1, cosine.topk(neighbours, dim=1).indices, True)


def _unit(features: Tensor) -> Tensor:
    return functional.normalize(features.double(), dim=1, eps=torch.finfo(torch.float64).tiny)


def _checked(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    if before.shape != after.shape:
        raise DataError(
            "the features of images and of their transformed copies do not belong together",
            got=f"{list(before.shape)} and {list(after.shape)}",
            expected="[N, D] twice, row i of the same image",
        )
    return _check(before, "the features"), _check(after, "the features of transformed images")


def _check(features: Tensor, what: str, at_least: int = 1) -> Tensor:
    if features.ndim != 2 or len(features) < at_least:
        raise DataError(
            f"{what} are too few, or no vectors", got=list(features.shape), expected=f"[N, D], N >= {at_least}"
        )
    check_finite(features, what)
    return features.detach().cpu()


def _check_neighbours(images: int, neighbours: int) -> None:
    if not 1 <= neighbours < images:
        raise DataError(
            "the number of neighbours does not fit the number of images",
            got=f"{neighbours} neighbours, {images} images",
            expected=f"1 to {images - 1} neighbours: an image is not its own",
            hint="measure more images, or ask for fewer neighbours",
        )
