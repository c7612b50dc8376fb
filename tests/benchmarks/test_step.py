"""The two sides of a step: one that computes what it reads, by plan, and one that is the plain formulation."""

import pytest
import torch

from hssl.benchmarks.step import StepCase, Stepper, against_plain, configuration, one_forward_against_two, share_outside

CPU = torch.device("cpu")
SMALL = StepCase("mnist-rotation", 8, 1)


def test_the_settings_are_the_papers_at_full_width() -> None:
    config = configuration(SMALL, "hssl")
    assert (config.backbone.width, config.views.streams, config.backbone.plan) == (1.0, "sampled", "auto")
    assert config.evaluation.readout == "afterwards"
    assert config.budget == "paper"


@pytest.mark.parametrize("mode", ["hssl", "assl"])
def test_the_step_is_compared_with_the_plain_one(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[str, str]] = []
    start = Stepper.__init__

    def spied(self: Stepper, config, channels, device) -> None:  # type: ignore[no-untyped-def]
        built.append((config.backbone.plan, config.views.streams))
        start(self, config, channels, device)

    monkeypatch.setattr(Stepper, "__init__", spied)
    row = against_plain(SMALL, mode, 1, CPU)
    assert sorted(built) == [("auto", "all"), ("auto", "sampled"), ("plain", "all")]
    assert row["speedup"]["median"] == pytest.approx(row["plain_seconds"] / row["seconds"], rel=1e-3)
    assert row["mode"] == mode


def test_a_step_trains() -> None:
    stepper = Stepper(configuration(SMALL, "assl"), 1, CPU)
    before = [parameter.clone() for parameter in stepper.module.parameters()]
    stepper()
    assert any(not torch.equal(old, new) for old, new in zip(before, stepper.module.parameters(), strict=True))


def test_the_share_outside_is_part_of_the_step() -> None:
    row = share_outside(SMALL, "assl", 2, CPU)
    assert 0 < row["share"]["median"] < 1
    assert row["outside_seconds"] < row["seconds"]


def test_one_forward_against_two() -> None:
    row = one_forward_against_two(StepCase("mnist-translation", 8, 1), 1, CPU)
    assert row["time_ratio"]["median"] == pytest.approx(row["hssl_seconds"] / row["assl_seconds"], rel=1e-3)
