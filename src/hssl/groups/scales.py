"""Scales: dilations of the image, sampled at a few factors. A group in the continuum, an open set here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, NoReturn

import torch
from torch import Tensor

from hssl.errors import GroupError
from hssl.groups.augmentation import Augmentation
from hssl.groups.group import Distance, Exactness, Group
from hssl.groups.settings import GroupSettings, ScalesSettings


class Scales(Group):
    """Magnifications by a list of factors; element i is the factor itself, and the filter scale of stream i.

    (T_s x)(u) = x(u / s): a factor above 1 magnifies. (Γ_a z)(s, u) = z(s / a, u / a): reading scale s of an image
    shrunk by a < 1 is reading the larger scale s / a of the original. The factors need not be geometric (the paper's
    six are not), so neither product nor inverse stays in the set: a pair of elements is described by its factor s_j /
    s_i.

    Args:
        factors: increasing positive factors, e.g. the paper's 1, 1.25, 1.33, 1.5, 1.66, 1.75 (appendix B).
    """

    Settings: ClassVar[type[GroupSettings]] = ScalesSettings

    exactness = Exactness.APPROXIMATE
    closed = False

    def __init__(self, factors: Sequence[float]) -> None:
        self.factors = tuple(float(factor) for factor in factors)
        increasing = all(small < large for small, large in zip(self.factors, self.factors[1:], strict=False))
        if not self.factors or self.factors[0] <= 0 or not increasing or not math.isfinite(self.factors[-1]):
            raise GroupError(
                "Scales needs increasing positive factors", got=list(factors), expected="e.g. [1.0, 1.25, 1.5]"
            )
        self.axes = (len(self.factors),)

    @property
    def elements(self) -> tuple[str, ...]:
        return tuple(f"x{factor:g}" for factor in self.factors)

    @property
    def identity(self) -> int:
        """The element with factor 1; raises GroupError where the list has none."""
        if 1.0 not in self.factors:
            raise GroupError(f"{self} does not hold the factor 1")
        return self.factors.index(1.0)

    def factor(self, first: int, second: int) -> float:
        """s_second / s_first: the magnification that takes stream `first` to stream `second`."""
        return self.factors[self.check(second)] / self.factors[self.check(first)]

    def _open(self, asked: str) -> NoReturn:
        raise GroupError(
            f"{self} has no {asked}: a sampled set of scales is not closed",
            hint="describe a pair of elements by its factor: scales.factor(i, j)",
        )

    def inverse(self, element: int) -> int:
        self.check(element)
        self._open("inverse")

    def act(self, element: int, positions: Tensor) -> Tensor:
        self._open("action on positions")

    def distances(self, kind: Distance = "topological") -> Tensor:
        """Squared difference of the factors (`euclidean`), or the logarithm of their ratio (`topological`)."""
        values = torch.tensor(self.factors, dtype=torch.float64)
        if kind == "topological":
            return (values[:, None] / values[None, :]).log().abs()
        return (values[:, None] - values[None, :]) ** 2

    @property
    def parameter_count(self) -> int:
        return 1

    def parameters(self, elements: Tensor) -> Tensor:
        """The magnification."""
        return torch.tensor(self.factors, dtype=torch.float64, device=elements.device)[elements][:, None]

    def transform_by(self, images: Tensor, parameters: Tensor) -> Tensor:
        return magnify(images, parameters[:, 0].to(images.device))

    def draw(self, batch_size: int, image_size: int, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
        """A downscaling factor, uniform from smallest_scale to 1, or one of the network's own ratios s_0 / s_i."""
        if augmentation.scale_draw == "discrete":
            ratios = self.factors[0] / torch.tensor(self.factors, dtype=torch.float64)
            return ratios[torch.randint(0, self.order, (batch_size, 1), generator=generator)]
        uniform = torch.rand(batch_size, 1, generator=generator, dtype=torch.float64)
        return augmentation.smallest_scale + (1 - augmentation.smallest_scale) * uniform

    def transform_features(self, values: Tensor, element: int) -> Tensor:
        self._open("exact action on features")

    @property
    def filter_scales(self) -> tuple[float, ...]:
        return self.factors

    def __repr__(self) -> str:
        return f"Scales({', '.join(f'{factor:.12g}' for factor in self.factors)})"


def magnify(images: Tensor, factors: Tensor) -> Tensor:
    """Resample images [B, C, H, W] about their centre by factors [B]: (T_s x)(u) = x(u / s), zero outside.

    Linear interpolation; a factor below 1 widens the triangle to 1 / s pixels, which keeps what is shrunk from
    aliasing. Separable, so a batch with a factor for each example is two batched matrix products.
    """
    rows = _resampling_matrix(images.shape[-2], factors).to(images.dtype)
    columns = _resampling_matrix(images.shape[-1], factors).to(images.dtype)
    return torch.einsum("bih,bchw,bjw->bcij", rows, images, columns)


def _resampling_matrix(size: int, factors: Tensor) -> Tensor:
    """[B, size, size]: row i holds the weights of the input pixels in output pixel i."""
    centre = (size - 1) / 2
    pixels = torch.arange(size, dtype=torch.float64, device=factors.device)
    scale = factors.double().reshape(-1, 1, 1)
    source = (pixels[:, None] - centre) / scale + centre
    sharpness = scale.clamp(max=1.0)

    def weights(inputs: Tensor) -> Tensor:
        return (1 - (source - inputs).abs() * sharpness).clamp(min=0)

    # The sum runs over the whole line, not only the pixels that exist: outside are zeros, no renormalised border.
    # The triangle of a strong downscaling is wider than a small map.
    reach = max(int(size), 32)
    everywhere = torch.arange(-reach, size + reach, dtype=torch.float64, device=factors.device)
    total = weights(everywhere).sum(dim=-1, keepdim=True)
    # Output pixels whose source lies outside that range see nothing at all.
    return torch.where(total > 0, weights(pixels) / total.clamp(min=1e-12), torch.zeros_like(total))
