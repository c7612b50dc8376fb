"""Agreement with published implementations: every file of the reference folder, values and gradients.

Layers: 1e-5 (values) and 1e-4 (gradients) relative to the largest entry, float32. Losses: 1e-10, float64.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hssl.backbones.resnet20 import block_of
from hssl.groups import Scales
from hssl.layers import GroupConv2d, LiftingConv2d, PointwiseConv2d, hermite_gauss_basis
from hssl.objectives import OBJECTIVES
from laws import error

VALUES, GRADIENTS, LOSSES = 1e-5, 1e-4, 1e-10

BASES = ("basis_k11_e11_s1", "basis_k11_e11_s6", "basis_k7_e3_s1", "basis_k7_e3_s6", "basis_k7_e7_s1")
LAYERS = ("lift_k11_s6", "group_k7_s1", "group_k7_s6_nopad", "group_k7_s6_stride2", "one_s6_stride2")
BLOCKS = ("basic_block_same", "basic_block_widen_stride2")

# Names in the original block, and here.
PARTS = {"bn1": "norm1", "bn2": "norm2", "conv1": "conv1", "conv2": "conv2", "convShortcut": "shortcut"}


class Record:
    """One file: its tensors, its scales as a group, and the settings it was made with."""

    def __init__(self, folder: Path, name: str) -> None:
        with np.load(folder / f"{name}.npz") as file:
            self.meta: dict[str, int] = json.loads(str(file["meta"]))
            self.group = Scales(file["scales"].tolist())
            self.tensors = {key: torch.from_numpy(file[key]) for key in file if key not in ("meta", "scales")}

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]


def layer_for(name: str, record: Record) -> nn.Module:
    out_channels, in_channels = record["weight"].shape[:2]
    if name.startswith("one"):
        return PointwiseConv2d(in_channels, out_channels, record.group, stride=record.meta["stride"])
    kind: Callable[..., nn.Module] = LiftingConv2d if name.startswith("lift") else GroupConv2d
    return kind(in_channels, out_channels, group=record.group, **record.meta)


def test_every_file_of_the_folder_is_looked_at(reference_root: Path) -> None:
    """A file that is missing, or new and untested, must not pass in silence."""
    found = {path.stem for path in reference_root.glob("*.npz")}
    assert found == {*BASES, *LAYERS, *BLOCKS, "losses"}
    assert len(found) == 13


@pytest.mark.parametrize("name", BASES)
def test_basis(reference_root: Path, name: str) -> None:
    record = Record(reference_root, name)
    basis = hermite_gauss_basis(record.meta["kernel_size"], record.meta["effective_size"], record.group.factors)
    assert error(basis, record["basis"].double()) <= VALUES


@pytest.mark.parametrize("name", LAYERS)
def test_layer(reference_root: Path, name: str) -> None:
    record = Record(reference_root, name)
    layer = layer_for(name, record)
    layer.load_state_dict({"weight": record["weight"]})
    x = record["x"].requires_grad_()
    y = layer(x)
    assert y.dtype == torch.float32
    assert error(y, record["y"]) <= VALUES
    y.backward(record["grad_y"])
    assert x.grad is not None
    assert error(x.grad, record["grad_x"]) <= GRADIENTS
    weight = next(layer.parameters())
    assert weight.grad is not None
    assert error(weight.grad, record["grad_weight"]) <= GRADIENTS


@pytest.mark.parametrize("name", BLOCKS)
def test_residual_block(reference_root: Path, name: str) -> None:
    record = Record(reference_root, name)
    in_channels, out_channels = record["x"].shape[1], record["y"].shape[1]
    block = block_of(in_channels, out_channels, record.group, stride=record.meta["stride"])
    state = {}
    for key, values in record.tensors.items():
        part, _, parameter = key.partition("__")
        if parameter:
            state[f"{PARTS[part]}.{parameter}"] = values
    assert set(state) == {key for key, _ in block.named_parameters()}
    block.load_state_dict(state, strict=False)
    block.train()
    assert error(block(record["x"]), record["y"]) <= VALUES
    # In eval mode the statistics are others: the record is one of training mode.
    assert error(block.eval()(record["x"]), record["y"]) > 1e-2


@pytest.mark.parametrize(("objective", "name"), [("nt-xent", "nt_xent")])
def test_objective(reference_root: Path, objective: str, name: str) -> None:
    with np.load(reference_root / "losses.npz") as record:
        recorded = {key: torch.from_numpy(record[key]) for key in record}
    first, second = recorded["a"].requires_grad_(), recorded["b"].requires_grad_()
    value = OBJECTIVES[objective](first, second, temperature=recorded["temperature"].item())
    value.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(value.detach(), recorded[name], rtol=0, atol=LOSSES)
    torch.testing.assert_close(first.grad, recorded[f"{name}_grad_a"], rtol=0, atol=LOSSES)
    torch.testing.assert_close(second.grad, recorded[f"{name}_grad_b"], rtol=0, atol=LOSSES)
    assert first.grad is not None
    assert first.grad.abs().max() > 1e-2


def test_contrastive_is_none_of_the_recorded_losses(reference_root: Path) -> None:
    with np.load(reference_root / "losses.npz") as record:
        value = OBJECTIVES["contrastive"](torch.from_numpy(record["a"]), torch.from_numpy(record["b"])).item()
        others = [record[key].item() for key in record if record[key].ndim == 0 and key != "temperature"]
    assert len(others) == 5
    assert min(abs(value - other) for other in others) > 1e-2


def test_the_tolerances_see_a_wrong_layer(reference_root: Path) -> None:
    """The control: rows and columns of the basis exchanged, or the sixth scale a little off."""
    record = Record(reference_root, "group_k7_s6_stride2")
    layer = layer_for("group", record)
    transposed = record["weight"].reshape(*record["weight"].shape[:3], 3, 3).transpose(-1, -2).flatten(-2)
    layer.load_state_dict({"weight": transposed})
    assert error(layer(record["x"]), record["y"]) > 1e-2
    record.group = Scales((*record.group.factors[:-1], record.group.factors[-1] + 1e-3))
    layer = layer_for("group", record)
    layer.load_state_dict({"weight": record["weight"]})
    assert error(layer(record["x"]), record["y"]) > 1e-4
