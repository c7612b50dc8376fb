"""Copies to a device. What they must not wait for shows on a GPU: tests_gpu/test_training.py."""

import torch

from hssl.transfer import moved


def test_values_stay_what_they_are() -> None:
    values = torch.arange(6).reshape(2, 3)
    assert moved(values, torch.device("cpu")) is values
    assert moved(values, torch.device("meta")).shape == (2, 3)


def test_values_go_where_they_are_asked_to() -> None:
    assert moved(torch.zeros(2), torch.device("meta")).device.type == "meta"
