"""What people are told of a network's size."""

import torch
from torch import nn

from hssl.backbones import PlainResNet20, describe_size, is_large


def test_weights_and_memory_are_told() -> None:
    layer = nn.Linear(2**9, 2**10, bias=False)
    assert (
        describe_size(layer)
        == "0.5 million weights, 2.0 MiB; 6.0 MiB to train with LARS, 8.0 MiB with AdamW, and activations"
    )
    assert describe_size(layer.double()).startswith("0.5 million weights, 4.0 MiB; 12.0 MiB")
    assert describe_size(nn.Linear(3, 4, bias=False)).startswith("12 weights, 0.0 MiB")


def test_what_is_frozen_has_no_gradient() -> None:
    layer = nn.Linear(2**9, 2**10, bias=False).requires_grad_(False)
    assert describe_size(layer) == "0.5 million weights, 2.0 MiB, none of them trained"
    part = nn.Sequential(layer, nn.Linear(2**10, 2**9, bias=False))
    assert "4.0 MiB; 8.0 MiB to train with LARS, 10.0 MiB with AdamW" in describe_size(part)


def test_the_estimate_is_what_a_step_holds() -> None:
    """Against the tensors themselves, with a momentum optimizer and with AdamW."""
    layer = nn.Linear(2**9, 2**10, bias=False)
    layer(torch.ones(1, 2**9)).sum().backward()
    for optimizer, told in (
        (torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9), 6.0),
        (torch.optim.AdamW(layer.parameters()), 8.0),
    ):
        optimizer.step()
        (state,) = optimizer.state.values()
        tensors = [layer.weight, layer.weight.grad, *(held for held in state.values() if held is not None)]
        held = sum(tensor.nbytes for tensor in tensors if tensor is not None and tensor.numel() > 1)
        assert held / 2**20 == told
        assert f"{told} MiB" in describe_size(layer)


def test_the_grouped_residual_network_is_worth_a_word_and_others_are_not() -> None:
    with torch.device("meta"):
        network = PlainResNet20()
        assert is_large(network)
        assert describe_size(network).startswith("557.6 million weights, 2.1 GiB; 6.2 GiB to train with LARS")
        assert not is_large(PlainResNet20(width=1 / 4))
