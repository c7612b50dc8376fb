"""Which input sizes keep a network exactly equivariant, and the check at build time that names the layer that does not.

A quarter turn commutes with a strided layer if and only if (N + 2p - k) mod stride = 0: only then do the positions that
the layer reads lie symmetrically about the centre. A circular shift by the total stride commutes if and only if the
stride divides N and the layer keeps the size ('same' padding).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from hssl.errors import SizeError
from hssl.groups import Group


@dataclass(frozen=True)
class SpatialStep:
    """What one layer does to the size of a map.

    Attributes:
        name: the layer, as the error names it.
        kernel_size, stride, padding: pixels of the layer's own input.
        beside: True for a shortcut that reads the input of the previous step instead of its output.
    """

    name: str
    kernel_size: int
    stride: int
    padding: int
    beside: bool = False

    def out(self, size: int) -> int:
        """Output size of an input of `size` pixels."""
        return (size + 2 * self.padding - self.kernel_size) // self.stride + 1


def steps_of(network: nn.Module, name: str = "") -> Iterator[SpatialStep]:
    """Those of a network's layers, which follow one another in the order in which they are registered.

    A layer has `spatial_step(name)`; a part whose layers lie otherwise has `path_steps(name)`.
    """
    for part, module in network.named_children():
        path = f"{name}.{part}" if name else part
        path_steps, spatial_step = (getattr(module, method, None) for method in ("path_steps", "spatial_step"))
        if path_steps is not None:
            yield from path_steps(path)
        elif spatial_step is not None:
            yield spatial_step(path)
        else:
            yield from steps_of(module, path)


def output_size(steps: Sequence[SpatialStep], size: int) -> int:
    """Size of the map after all steps (shortcuts aside)."""
    for step in steps:
        if not step.beside:
            size = step.out(size)
    return size


def total_stride(steps: Sequence[SpatialStep]) -> int:
    """Product of the strides along the path."""
    product = 1
    for step in steps:
        product *= 1 if step.beside else step.stride
    return product


def first_breach(steps: Sequence[SpatialStep], size: int, group: Group) -> tuple[SpatialStep, int, str] | None:
    """The first layer at which `size` breaks the group's exactness, the size it sees, and why; None where all hold."""
    before = size
    for step in steps:
        seen = before if step.beside else size
        if step.out(seen) < 1:
            return step, seen, f"its kernel of {step.kernel_size} does not fit {seen} pixels padded by {step.padding}"
        if group.circular and seen % step.stride:
            return step, seen, f"stride {step.stride} does not divide {seen}, so shifts do not wrap around whole"
        if group.circular and step.out(seen) * step.stride != seen:
            reason = (
                f"it maps {seen} pixels to {step.out(seen)} steps of {step.stride}: shifts do not wrap around whole"
            )
            return step, seen, reason
        remainder = (seen + 2 * step.padding - step.kernel_size) % step.stride
        if group.turns and remainder:
            return (
                step,
                seen,
                f"(N + 2p - k) mod stride = ({seen} + {2 * step.padding} - {step.kernel_size}) mod {step.stride} "
                f"= {remainder}, so it reads off-centre and a quarter turn no longer commutes with it",
            )
        if not step.beside:
            before, size = size, step.out(size)
    return None


def legal_sizes(steps: Sequence[SpatialStep], group: Group, near: int) -> list[int]:
    """The nearest legal sizes at or below and above `near`."""
    below = next((size for size in range(near, 0, -1) if first_breach(steps, size, group) is None), None)
    above = next((size for size in range(near + 1, near + 4096) if first_breach(steps, size, group) is None), None)
    return [size for size in (below, above) if size is not None]


def check_size(steps: Sequence[SpatialStep], size: int, group: Group, network: str) -> None:
    """Raise SizeError, naming the layer and the nearest legal sizes, unless `size` keeps the group's exactness."""
    breach = first_breach(steps, size, group)
    if breach is None:
        return
    step, seen, reason = breach
    fitting = " or ".join(map(str, legal_sizes(steps, group, size))) or "none near"
    raise SizeError(
        f"{network} cannot be built for {size} x {size} pixels with {group}",
        got=f"layer {step.name} sees {seen} x {seen}: {reason}",
        expected=f"{fitting} pixels (the nearest legal sizes)",
        hint="pad the images to a legal size: resolution= of the network, --data.resolution of a run",
    )
