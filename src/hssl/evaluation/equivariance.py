"""How equivariant a network is: the relative error of f(T_g x) = Γ_g f(x), element by element.

The exactness class says what to expect. `exact` groups are held to a bound by dtype; zero-padded translations are held
to it off the border; for scales the error is reported beside the floor that resampling alone sets; the control without
structure is shown for contrast, and nothing can be held there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hssl.backbones import Backbone
from hssl.errors import GroupError
from hssl.groups import Exactness, Group, GroupFeatures, Product, Scales, Translations, Unstructured
from hssl.groups.scales import magnify
from hssl.layers.sizes import output_size

# Relative errors that rounding alone explains (several dozen layers of sums).
BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-12}


@dataclass(frozen=True)
class EquivarianceReport:
    """Relative errors ||f(T_g x) - Γ_g f(x)|| / ||Γ_g f(x)|| by element.

    Attributes:
        group: what the features are indexed by.
        exactness: the class that the group declares.
        bound: what the class is held to; None where it promises nothing exact.
        held: whether every error that the class speaks of is within the bound; None without a bound.
        errors: by element, what the class speaks of.
        context: further figures for people: errors with the border, on pooled features, the resampler's floor.
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
    """||measured - expected|| / ||expected||; not finite, which holds no bound, where nothing was expected."""
    difference, size = (measured - expected).norm(), expected.norm()
    return float(difference / size)


@torch.no_grad()
def equivariance_report(backbone: Backbone, images: Tensor, largest_shift: int = 2) -> EquivarianceReport:
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
        accepted="translations, rotations, dihedral, scales, closed products, the unstructured control",
    )


def _held(
    exactness: Exactness, group: object, errors: dict[str, float], context: dict[str, float], dtype: torch.dtype
) -> EquivarianceReport:
    bound = BOUNDS.get(dtype, 1e-2)
    return EquivarianceReport(
        str(group), exactness, bound, all(error <= bound for error in errors.values()), errors, context
    )


def _closed(backbone: Backbone, images: Tensor, group: Group) -> EquivarianceReport:
    """Every element of a closed group of filters, on the maps: streams permuted and positions moved."""
    features = backbone(images)
    steps = features.group.order // group.order
    errors = {
        name: relative_error(
            backbone(group.transform(images, element)).values, features.transform(element * steps).values
        )
        for element, name in enumerate(group.elements)
    }
    # The positions are zero-padded and so not closed, but the elements measured here do not shift.
    return _held(group.exactness, group, errors, {}, images.dtype)


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
    before = backbone.maps(noise).reshape(1, -1, size, size)
    errors = {}
    for rows, columns in _shifts(largest):
        pixels = torch.tensor([[rows * stride, columns * stride]], dtype=torch.float64)
        after = backbone.maps(positions.transform_by(noise, pixels)).reshape(1, -1, size, size)
        inside = slice(margin + largest, size - margin)
        expected = before.roll((rows, columns), dims=(-2, -1))
        errors[f"({rows * stride:+d}, {columns * stride:+d}) px off the border"] = relative_error(
            after[..., inside, inside], expected[..., inside, inside]
        )
    return _held(positions.exactness, positions, errors, context, images.dtype)


def _scales(backbone: Backbone, images: Tensor, group: Scales) -> EquivarianceReport:
    """f(T_a x) read at scale s_0 against f(x) read at s_j and shrunk by a = s_0 / s_j, on maps and pooled."""
    features = backbone(images).values
    errors: dict[str, float] = {}
    context: dict[str, float] = {}
    for element in range(1, group.order):
        factor = torch.full((len(images),), group.factor(element, 0), dtype=torch.float64, device=images.device)
        small = magnify(images, factor)
        measured = backbone(small).values[:, :, 0]
        # Outside the shrunken image the prediction knows nothing: compare where it does.
        size = measured.shape[-1]
        reach = max(1, round(size * float(factor[0])) - 2)
        start = (size - reach) // 2
        inside = (..., slice(start, start + reach), slice(start, start + reach))
        expected = magnify(features[:, :, element], factor)
        name = f"{group.elements[0]} of the image shrunk by {float(factor[0]):.3g} against {group.elements[element]}"
        errors[name] = relative_error(measured[inside], expected[inside])
        # What the loss compares where features are pooled: no map is resampled, no border left out.
        pooled = features[:, :, element].mean((-2, -1))
        context[f"{name}, pooled as the loss reads it"] = relative_error(measured.mean((-2, -1)), pooled)
        context[f"resampling alone, by {float(factor[0]):.3g} and back"] = relative_error(
            magnify(small, 1 / factor), images
        )
    return EquivarianceReport(str(group), group.exactness, None, None, errors, context)


def _unstructured(backbone: Backbone, images: Tensor, group: Unstructured) -> EquivarianceReport:
    """Slices of a network without structure, moved as if they were fibers: an error of order one is what to expect."""
    features = backbone(images)
    values = _pooled(features)
    errors = {}
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
        errors[f"{name}, next slice"] = relative_error(moved[..., :-1], values[..., 1:])
    return EquivarianceReport(str(group), Exactness.NONE, None, None, errors, {})


def _pooled(features: GroupFeatures) -> Tensor:
    return (features.pool_space() if isinstance(features.group, Product) else features).values
