"""How equivariant a network is: the relative error of f(T_g x) = Γ_g f(x), element by element.

The exactness class says what to expect. `exact` groups are held to a bound by dtype; zero-padded translations are held
to it off the border; for scales, where nothing can be held, the error is reported beside two violations of the law and
what resampling alone costs; the control without structure is shown for contrast.

Every error is relative to how much the expected features vary, not to their size: a constant is equivariant to
anything, and a large one would hide a layer that is not. Beside each stands the strength of the action, f(T_g x) - f(x)
in the same units: an invariant network obeys any law with the identity, and shows it there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hssl.backbones import Backbone
from hssl.errors import GroupError
from hssl.evaluation.strength import STRENGTH
from hssl.groups import Exactness, Group, GroupFeatures, Product, Rotations, Scales, Translations, Unstructured
from hssl.groups.scales import magnify
from hssl.layers import SteerableConv2d
from hssl.layers.sizes import first_breach, output_size

# Relative errors that rounding alone explains (several dozen layers of sums).
BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-12}


@dataclass(frozen=True)
class EquivarianceReport:
    """Relative errors ||f(T_g x) - Γ_g f(x)|| / ||Γ_g f(x) - its mean by channel|| by element.

    Attributes:
        group: what the features are indexed by.
        exactness: the class that the group declares.
        bound: what the class is held to; None where it promises nothing exact.
        held: whether every error that the class speaks of is within the bound; None without a bound. It says nothing
            of how: read it beside the strength of the action, `hssl.evaluation.strength.changes_nothing`.
        errors: by element, what the class speaks of.
        context: further figures for people; 'element: figure' where one belongs to an element of `errors`.
    """

    group: str
    exactness: Exactness
    bound: float | None
    held: bool | None
    errors: dict[str, float]
    context: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `evaluation.json`."""
        return {
            "group": self.group,
            "class": self.exactness.value,
            "bound": self.bound,
            "held": self.held,
            "errors": {name: _finite(error) for name, error in self.errors.items()},
            "context": {name: _finite(error) for name, error in self.context.items()},
        }


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None


def relative_error(measured: Tensor, expected: Tensor) -> float:
    """||measured - expected|| over the spread of `expected`, ||expected - its mean by channel||; both [B, C, ...].

    The mean runs over examples, group and positions. Not finite, which holds no bound, where nothing varies: rounding
    is all that is left there.
    """
    return _distance(measured, expected) / _spread(expected)


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one.double() - other.double()).norm())


def _spread(expected: Tensor) -> float:
    """How much features [B, C, ...] vary about their mean by channel; NaN where no channel varies beyond rounding."""
    channels = expected.double().transpose(0, 1).flatten(1)
    spread = (channels - channels.mean(1, keepdim=True)).norm(dim=1)
    rounding = 100 * torch.finfo(expected.dtype).eps * channels.norm(dim=1)
    varies = spread > rounding
    return float(spread[varies].norm()) if varies.any() else math.nan


@torch.no_grad()
def check_equivariance(backbone: Backbone, images: Tensor, largest_shift: int = 2) -> EquivarianceReport:
    """Measure a backbone on images [B, C, H, W], in eval mode and in the images' dtype.

    Args:
        backbone: its mode is restored afterwards.
        images: as the backbone takes them, on its device.
        largest_shift: for translations, in steps of the feature map.

    Raises:
        GroupError: a group for which no law is known.
    """
    modes = {module: module.training for module in backbone.modules()}
    backbone.eval()
    # GPUs round float32 convolutions to 10 bits by default, an error of its own a hundred times the bound.
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        try:
            return _report(backbone, images, largest_shift)
        finally:
            for module, training in modes.items():
                module.training = training


def _report(backbone: Backbone, images: Tensor, largest_shift: int) -> EquivarianceReport:
    group = backbone.group
    if isinstance(group, Translations):
        return _translations(backbone, images, largest_shift)
    if isinstance(group, Scales):
        return _scales(backbone, images, group)
    if isinstance(group, Unstructured):
        return _unstructured(backbone, images, group)
    if group.closed:
        return _closed(backbone, images, group)
    raise GroupError(
        f"no equivariance measure is known for {group}",
        expected="translations, rotations, dihedral, scales, closed products, the unstructured control",
    )


def _held(
    exactness: Exactness, group: object, errors: dict[str, float], context: dict[str, float], dtype: torch.dtype
) -> EquivarianceReport:
    bound = BOUNDS.get(dtype, 1e-2)
    return EquivarianceReport(
        str(group), exactness, bound, all(error <= bound for error in errors.values()), errors, context
    )


def _closed(backbone: Backbone, images: Tensor, group: Group) -> EquivarianceReport:
    """Every element of a closed group of filters, on the maps: streams permuted and positions moved.

    Measured on the plain formulation. Folded streams are one stream turned, equivariant by construction whatever the
    filters of the others are: a wrong one would not be seen.
    """
    with _plain_formulation(backbone):
        features = backbone(images)
        steps = features.group.order // group.order
        errors: dict[str, float] = {}
        context: dict[str, float] = {}
        for element, name in enumerate(group.elements):
            moved = backbone(group.transform(images, element)).values
            expected = features.transform(element * steps).values
            errors[name] = relative_error(moved, expected)
            context[f"{name}: {STRENGTH}"] = _distance(moved, features.values) / _spread(expected)
    # The positions are zero-padded and so not closed, but the elements measured here do not shift.
    return _held(group.exactness, group, errors, context, images.dtype)


@contextmanager
def _plain_formulation(backbone: Backbone) -> Iterator[None]:
    plans = {layer: layer.plan for layer in backbone.modules() if isinstance(layer, SteerableConv2d)}
    for layer in plans:
        layer.plan = "plain"
    try:
        yield
    finally:
        for layer, plan in plans.items():
            layer.plan = plan


def _shifts(largest: int) -> list[tuple[int, int]]:
    return [
        (rows, columns)
        for rows, columns in ((1, 0), (0, 1), (1, 1), (largest, largest))
        if max(rows, columns) <= largest
    ]


def _translations(backbone: Backbone, images: Tensor, largest: int) -> EquivarianceReport:
    positions = backbone.feature_group
    assert isinstance(positions, Translations)
    errors: dict[str, float] = {}
    context: dict[str, float] = {}
    features = backbone(images)
    width = positions.shape[1]
    for rows, columns in _shifts(min(largest, min(positions.shape) - 1)):
        element = rows * width + columns
        name = positions.elements[element]
        moved = backbone(positions.transform(images, element)).values
        expected = features.transform(element).values
        if positions.circular:
            errors[name] = relative_error(moved, expected)
            context[f"{name}: {STRENGTH}"] = _distance(moved, features.values) / _spread(expected)
        else:
            context[f"{name} with the border"] = relative_error(
                moved[..., rows:, columns:], expected[..., rows:, columns:]
            )
    if positions.circular:
        return _held(positions.exactness, positions, errors, context, images.dtype)
    return _off_border(backbone, images, positions, largest, context)


def _off_border(
    backbone: Backbone, images: Tensor, positions: Translations, largest: int, context: dict[str, float]
) -> EquivarianceReport:
    """Zero-padded shifts, at positions whose receptive field meets no border, on a canvas large enough to have some."""
    steps = [step for step in backbone.spatial_steps() if not step.beside]
    if not steps:
        return EquivarianceReport(str(positions), positions.exactness, None, None, dict(context), {})
    stride = 1
    field_size = 1
    for step in steps:
        field_size += (step.kernel_size - 1) * stride
        stride *= step.stride
    margin = -(-field_size // stride)
    canvas = (2 * margin + largest + 4) * stride
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, backbone.in_channels, canvas, canvas, generator=generator).to(images)
    size = output_size(steps, canvas)
    before = backbone.of_any_size(noise).values.reshape(1, -1, size, size)
    errors = {}
    for rows, columns in _shifts(largest):
        pixels = torch.tensor([[rows * stride, columns * stride]], dtype=torch.float64)
        after = backbone.of_any_size(positions.transform_by(noise, pixels)).values.reshape(1, -1, size, size)
        inside = slice(margin + largest, size - margin)
        moved, still = after[..., inside, inside], before[..., inside, inside]
        expected = before.roll((rows, columns), dims=(-2, -1))[..., inside, inside]
        name = f"({rows * stride:+d}, {columns * stride:+d}) px off the border"
        errors[name] = relative_error(moved, expected)
        context[f"{name}: {STRENGTH}"] = _distance(moved, still) / _spread(expected)
    return _held(positions.exactness, positions, errors, context, images.dtype)


# Shrinking loses what is near a pixel: enlarged images have little of that left to lose. Each is a forward pass on a
# canvas three times as wide and more, so a few images have to do.
_ENLARGED = 2
_SCALE_IMAGES = 8


def _scales(backbone: Backbone, images: Tensor, group: Scales) -> EquivarianceReport:
    """f(T_a x) at stream 0 against f(x) at stream j, shrunk by a = s_0 / s_j; element j stands for the pair.

    The errors are those of images enlarged by two. Beside each, in the same units (norms over the spread of what the
    law expects, responses to a blank image subtracted):

    - `strength of the action`: against stream 0 of the original, neither shrunk nor exchanged.
    - `wrong stream`: stream 0 of the original instead of stream j. A network that obeys the law is below it.
    - `other image`: the law with the next image of the batch. Features of scale-free noise would be there.
    - `round trip`: stream j of the image shrunk and magnified back; what the pixels alone cost.
    - `with offset`: the error, with the response to a blank image left in; larger where the streams' filters have
      different means (the `sesn` basis), which BatchNorm and ReLU turn into an offset.
    - `own size`, `own size, round trip`: of images as they are. For the thin strokes of 28-pixel digits the round trip
      alone costs most of the error there, and the figure says little about f.
    - `pooled, 1 - cos`, with `other image`: see `_direction`.

    Measured with random weights and statistics at width 1/4, the untruncated basis is below both violations on digits
    and on blobs; the paper's `sesn` basis is below the other image but not always below the wrong stream.
    """
    few = images[:_SCALE_IMAGES]
    errors: dict[str, float] = {}
    context: dict[str, float] = {}
    enlarged = _ScaleLaw(backbone, few, _ENLARGED)
    own = _ScaleLaw(backbone, few, 1)
    pooled = backbone(images).values.mean((-2, -1))
    for element in range(1, group.order):
        name, factor = group.elements[element], group.factor(element, 0)
        figures = enlarged.figures(element)
        errors[name] = figures.pop("law")
        context |= {f"{name}: {figure}": error for figure, error in figures.items()}
        small = own.figures(element)
        context[f"{name}: own size"] = small["law"]
        context[f"{name}: own size, round trip"] = small["round trip"]
        shrunk = backbone(_magnified(images, factor)).values[:, :, 0].mean((-2, -1))
        context[f"{name}: pooled, 1 - cos"] = _direction(shrunk, pooled[:, :, element])
        context[f"{name}: pooled, other image"] = _direction(shrunk.roll(1, 0), pooled[:, :, element])
    return EquivarianceReport(str(group), group.exactness, None, None, errors, context)


class _ScaleLaw:
    """The maps of a few images in the middle of an empty canvas, with room for what leaves their borders.

    The canvas has a size at which every layer reads symmetrically about the centre: image and map are then resampled
    about the same point.
    """

    def __init__(self, backbone: Backbone, images: Tensor, enlarged: int) -> None:
        assert isinstance(backbone.group, Scales)
        self.backbone, self.group = backbone, backbone.group
        self.pixels = enlarged * images.shape[-1]
        canvas = (enlarged + 1) * images.shape[-1]
        while first_breach(backbone.spatial_steps(), canvas, Rotations()) is not None:
            canvas += 1
        before = (canvas - images.shape[-1]) // 2
        after = canvas - images.shape[-1] - before
        self.images = _magnified(functional.pad(images, (before, after, before, after)), enlarged)
        self.blank = backbone.of_any_size(torch.zeros_like(self.images[:1])).values
        self.features = backbone.of_any_size(self.images).values

    def figures(self, element: int) -> dict[str, float]:
        """The error of the law between streams 0 and `element`, and what it is read against."""
        factor = self.group.factor(element, 0)
        small = _magnified(self.images, factor)
        response = self.features - self.blank
        measured_with_offset = self._inside(self.backbone.of_any_size(small).values[:, :, 0], factor)
        measured = measured_with_offset - self._inside(self.blank[:, :, 0], factor)
        expected = self._read(response[:, :, element], factor)
        spread = _spread(expected)

        def against(tensor: Tensor, law: Tensor = expected) -> float:
            return _distance(tensor, law) / spread

        again = self.backbone.of_any_size(_magnified(small, 1 / factor)).values - self.blank
        return {
            "law": against(measured),
            STRENGTH: against(measured, self._inside(response[:, :, 0], factor)),
            "wrong stream": against(measured, self._read(response[:, :, 0], factor)),
            "other image": against(measured.roll(1, 0)) if len(measured) > 1 else math.nan,
            "round trip": against(self._read(again[:, :, element], factor)),
            "with offset": against(measured_with_offset, self._read(self.features[:, :, element], factor)),
        }

    def _read(self, maps: Tensor, factor: float) -> Tensor:
        """Γ_a: the maps [B, C, H, W] at u / a, read between positions by cubic interpolation.

        Not `magnify`, whose wide triangle keeps images from aliasing: features are read at points, not blurred.
        """
        matrix = maps.new_tensor([[1 / factor, 0, 0], [0, 1 / factor, 0]]).expand(len(maps), 2, 3)
        grid = functional.affine_grid(matrix, list(maps.shape), align_corners=True)
        return self._inside(functional.grid_sample(maps, grid, mode="bicubic", align_corners=True), factor)

    def _inside(self, maps: Tensor, factor: float) -> Tensor:
        """The positions that the shrunk images cover."""
        centre = (maps.shape[-1] - 1) / 2
        reach = factor * self.pixels / 2 / self.backbone.total_stride
        covered = slice(math.ceil(centre - reach), math.floor(centre + reach) + 1)
        return maps[..., covered, covered]


def _magnified(images: Tensor, factor: float) -> Tensor:
    return magnify(images, torch.full((len(images),), factor, dtype=torch.float64, device=images.device))


def _direction(measured: Tensor, expected: Tensor) -> float:
    """1 - cosine of fibers [B, C] pooled over space, the mean fiber of the batch taken off, averaged over the batch.

    A shrunk image covers a^2 of the canvas, so its pooled response is about a^2 times as long, which no relative error
    survives; the loss compares directions behind a projector whose BatchNorm takes the mean off.
    """
    if len(measured) < 2:
        return math.nan
    first, second = (fibers.double() - fibers.double().mean(0) for fibers in (measured, expected))
    cosine = (first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1))
    return 1 - float(cosine.mean())


def _unstructured(backbone: Backbone, images: Tensor, group: Unstructured) -> EquivarianceReport:
    """Slices of a network without structure, moved as if they were fibers: an error of order one is what to expect."""
    features = backbone(images)
    values = _pooled(features)
    errors: dict[str, float] = {}
    context: dict[str, float] = {}
    moves: dict[str, list[float]]
    if isinstance(group.images_by, Scales):
        moves = {f"shrunk by {factor:.3g}": [factor] for factor in (1 / 1.25, 1 / 1.75)}
    elif group.images_by.turns:
        names = group.images_by.elements
        moves = {
            names[element]: group.images_by.parameters(torch.tensor([element]))[0].tolist()
            for element in range(1, len(names))
        }
    else:
        moves = {f"shifted by ({rows:+d}, {columns:+d}) px": [rows, columns] for rows, columns in ((4, 0), (0, 4))}
    for name, parameters in moves.items():
        rows_of = torch.tensor([parameters], dtype=torch.float64).expand(len(images), -1)
        moved = _pooled(backbone(group.transform_by(images, rows_of)))
        following = f"{name}, next slice"
        errors[following] = relative_error(moved[..., :-1], values[..., 1:])
        context[f"{following}: {STRENGTH}"] = _distance(moved[..., :-1], values[..., :-1]) / _spread(values[..., 1:])
    return EquivarianceReport(str(group), Exactness.NONE, None, None, errors, context)


def _pooled(features: GroupFeatures) -> Tensor:
    return (features.pool_space() if isinstance(features.group, Product) else features).values
