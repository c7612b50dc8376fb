"""The step: pairs, losses, and which parameter each of them reaches."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from hssl.data.loader import Batch
from hssl.groups import GroupFeatures, Streams
from hssl.heads import as_maps
from hssl.training.module import SSLModule
from hssl.views import Pairs
from small_runs import SAMPLED, SELF_SUPERVISED, labelled_module, tiny

LABELS = torch.arange(8) % 10


def images(size: int = 8) -> Tensor:
    return torch.rand(size, 1, 13, 13, generator=torch.Generator().manual_seed(0))


def outside_of_a_trainer(module: SSLModule, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Makes `training_step` callable on its own; returns what it logs."""
    logged: dict[str, float] = {}

    def log(self: SSLModule, name: str, value: Tensor, **_: object) -> None:
        logged[name] = float(value.detach())

    still = SimpleNamespace(zero_grad=lambda: None, step=lambda: None)
    monkeypatch.setattr(SSLModule, "log", log)
    monkeypatch.setattr(SSLModule, "optimizers", lambda _: still)
    monkeypatch.setattr(SSLModule, "lr_schedulers", lambda _: still)
    monkeypatch.setattr(SSLModule, "manual_backward", lambda _, loss: loss.backward())
    monkeypatch.setattr(SSLModule, "progress", 0.5)
    return logged


def step_of(module: SSLModule, pictures: Tensor, pairs: Pairs) -> tuple[Tensor, GroupFeatures]:
    """The method's loss and the features that it was made of."""
    step = module.method.step(pictures, None, pairs, Tensor.backward)
    assert step.loss is not None
    return step.loss, step.features  # type: ignore[return-value]


def loss_of(module: SSLModule, pictures: Tensor, pairs: Pairs) -> Tensor:
    return step_of(module, pictures, pairs)[0]


def gradient_norms(module: SSLModule, part: str) -> float:
    network = module.get_submodule(f"method.{part}") if part == "projector" else getattr(module, part)
    return sum(float(p.grad.norm()) for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("mode", ["a-ssl", "h-ssl", "hybrid", "frozen", "supervised"])
def test_where_the_gradient_goes(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = labelled_module(tiny(mode))
    logged = outside_of_a_trainer(module, monkeypatch)
    loss = module.training_step(Batch(images(), LABELS, torch.arange(8)), 0)
    assert gradient_norms(module, "readout") > 0
    assert (gradient_norms(module, "backbone") > 0) == (mode != "frozen")
    if mode in SELF_SUPERVISED:
        assert gradient_norms(module, "projector") > 0
        assert loss.item() == pytest.approx(logged["train/loss"] + logged["train/readout_loss"], rel=1e-5)
    else:
        assert not hasattr(module.method, "projector")
        assert loss.item() == pytest.approx(logged["train/loss"])


@pytest.mark.parametrize("mode", SELF_SUPERVISED)
def test_the_readout_is_detached(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backbone's gradient is that of the contrastive loss alone, whatever the labels are."""
    gradients = []
    for labels in (LABELS, 9 - LABELS):
        module = labelled_module(tiny(mode))
        outside_of_a_trainer(module, monkeypatch)
        module.training_step(Batch(images(), labels, torch.arange(8)), 0)
        gradients.append([p.grad.clone() for p in module.backbone.parameters() if p.grad is not None])
        readout = module.readout
        assert readout is not None
        gradients.append([p.grad.clone() for p in readout.parameters() if p.grad is not None])
    assert all(torch.equal(one, other) for one, other in zip(gradients[0], gradients[2], strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(gradients[1], gradients[3], strict=True))


def test_a_supervised_backbone_does_see_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = []
    for labels in (LABELS, 9 - LABELS):
        module = labelled_module(tiny("supervised"))
        outside_of_a_trainer(module, monkeypatch)
        module.training_step(Batch(images(), labels, torch.arange(8)), 0)
        gradients.append(torch.cat([p.grad.flatten() for p in module.backbone.parameters() if p.grad is not None]))
    assert (gradients[0] - gradients[1]).norm() > 1e-2 * gradients[0].norm()


@pytest.mark.parametrize(("mode", "passes"), [("h-ssl", [8]), ("a-ssl", [16]), ("hybrid", [16])])
def test_forward_passes_of_a_step(mode: str, passes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """H-SSL computes features once; A-SSL's two views are one batch of 2B. The readout reads the same maps."""
    module = labelled_module(tiny(mode))
    outside_of_a_trainer(module, monkeypatch)
    seen: list[int] = []
    module.backbone.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    module.training_step(Batch(images(), LABELS, torch.arange(8)), 0)
    assert seen == passes


def on_rank(module: SSLModule, rank: int, world: int, epoch: int = 0) -> SSLModule:
    module._trainer = SimpleNamespace(world_size=world, global_rank=rank, current_epoch=epoch)  # type: ignore[assignment]
    return module


def join(parts: list[Pairs]) -> list[Tensor]:
    names = ("positions_1", "positions_2", "parameters_1", "parameters_2")
    present = [name for name in names if getattr(parts[0], name) is not None]
    return [torch.cat([getattr(part, name) for part in parts]) for name in present]


@pytest.mark.parametrize("mode", SELF_SUPERVISED)
def test_only_the_streams_that_are_read_pass_the_network(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = labelled_module(tiny(mode, **SAMPLED))
    outside_of_a_trainer(module, monkeypatch)
    seen: list[tuple[int, Streams]] = []
    module.backbone.register_forward_hook(lambda _, inputs, __: seen.append((len(inputs[0]), inputs[1])))
    module.training_step(Batch(images(16), LABELS.repeat(2), torch.arange(16)), 0)
    ((count, streams),) = seen
    assert count == (16 if mode == "h-ssl" else 32)
    # 16 pairs of four rotations, one deck: each stream is read by 7 of 16; one of four by each view.
    assert streams.counts == ((7,) * 4 if mode == "h-ssl" else (8,) * 4)
    assert gradient_norms(module, "backbone") > 0
    assert gradient_norms(module, "projector") > 0
    assert gradient_norms(module, "readout") == 0


@pytest.mark.parametrize("mode", SELF_SUPERVISED)
def test_sampled_streams_give_the_loss_of_all_streams(mode: str) -> None:
    """Value and gradients, of the same pairs, where the statistics are given."""
    outcomes = []
    for changes in (SAMPLED, {"evaluation__readout": "afterwards"}):
        module = labelled_module(tiny(mode, **changes)).double().eval()
        if not outcomes:
            pairs = module.draw(16, 0)
        loss = loss_of(module, images(16).double(), pairs if changes is SAMPLED else replace(pairs, streams=None))
        parts = [*module.method.parameters()]
        outcomes.append([loss.detach(), *torch.autograd.grad(loss, parts)])
    assert pairs.streams is not None
    size = max(float(gradient.abs().max()) for gradient in outcomes[1])
    assert size > 1e-3
    for sampled, whole in zip(*outcomes, strict=True):
        torch.testing.assert_close(sampled, whole, rtol=1e-10, atol=1e-10 * size)


@pytest.mark.parametrize("mode", SELF_SUPERVISED)
def test_dealt_pairs_are_the_same_on_any_number_of_devices(mode: str) -> None:
    """And each rank computes what its own part reads."""
    module = labelled_module(tiny(mode, **SAMPLED))
    alone = join([module.draw(16, 5)])
    for world in (1, 2, 4):
        parts = [on_rank(module, rank, world).draw(16 // world, 5) for rank in range(world)]
        assert all(torch.equal(one, other) for one, other in zip(alone, join(parts), strict=True))
        read = [torch.cat([part.positions_1, part.positions_2], dim=int(mode == "h-ssl")) for part in parts]
        for part, positions in zip(parts, read, strict=True):
            assert part.streams is not None
            assert len(part.streams.slots) == len(positions)
            assert part.streams.rows(positions).min() >= 0
        # A deck of 16: what all ranks compute together is what one process computes.
        rows = [part.streams.counts for part in parts if part.streams is not None]
        assert [sum(counts) for counts in zip(*rows, strict=True)] == [7 if mode == "h-ssl" else 8] * 4


@pytest.mark.parametrize("mode", SELF_SUPERVISED)
def test_pairs_are_the_same_on_any_number_of_devices(mode: str) -> None:
    module = labelled_module(tiny(mode))
    alone = join([module.draw(12, 5)])
    assert len(alone) == (2 if mode == "h-ssl" else 4)
    for world in (1, 2, 3, 4):
        together = join([on_rank(module, rank, world).draw(12 // world, 5) for rank in range(world)])
        assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


def test_pairs_change_with_step_epoch_and_seed() -> None:
    module = labelled_module(tiny())
    draws = [
        on_rank(labelled_module(tiny(seed=seed)), 0, 1, epoch).draw(32, step).positions_1.flatten().tolist()
        for seed, epoch, step in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))
    ]
    assert len({tuple(draw) for draw in draws}) == 4
    assert on_rank(module, 0, 1).draw(32, 0).positions_1.flatten().tolist() == draws[0]


def test_drawing_leaves_the_global_generator_alone() -> None:
    module = labelled_module(tiny("a-ssl"))
    before = torch.get_rng_state()
    module.draw(8, 0)
    SSLModule(tiny(), 1, 10)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_follow_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = labelled_module(tiny()).state_dict()
    torch.manual_seed(2)
    again, other = labelled_module(tiny()).state_dict(), labelled_module(tiny(seed=1)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["method.backbone.lift.weight"], other["method.backbone.lift.weight"])


def test_modes_share_the_backbone_they_start_from() -> None:
    """A comparison of modes starts from one network."""
    states = [labelled_module(tiny(mode)).backbone.state_dict() for mode in ("a-ssl", "h-ssl", "frozen", "supervised")]
    for state in states[1:]:
        assert all(torch.equal(states[0][name], state[name]) for name in state)


def test_embedding_is_the_mean_over_group_and_positions() -> None:
    module = labelled_module(tiny()).eval()
    features = module.backbone(images())
    assert torch.equal(module.embed(images()), features.values.flatten(2).mean(2))
    turned = module.embed(torch.rot90(images(), 1, (-2, -1)))
    torch.testing.assert_close(turned, module.embed(images()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "transformation", "slices"), [("mlp", "translation", 16), ("cnn-three-layer", "scale", 6)]
)
def test_slices_without_structure_are_embedded_side_by_side(name: str, transformation: str, slices: int) -> None:
    module = labelled_module(tiny(transformation=transformation, backbone__name=name)).eval()
    values = module.backbone(images()).values
    embedding = module.embed(images())
    assert embedding.shape == (8, slices * module.backbone.channels)
    assert values.shape[2] == slices
    read = embedding.reshape(8, slices, -1).transpose(1, 2)
    torch.testing.assert_close(read, values.mean((-2, -1)) if values.ndim == 5 else values)


def test_maps_of_each_kind_of_network_fit_their_readout() -> None:
    for name, transformation, size in (
        ("three-layer", "rotation", 13),
        ("three-layer", "translation", 13),
        ("three-layer", "scale", 13),
        ("resnet20-cifar10", "rotation", 13),
        ("mlp", "translation", 13),
        ("cnn-three-layer", "scale", 13),
        ("cnn-resnet20", "scale", 13),
    ):
        changes = {"transformation": transformation, "backbone__name": name, "data__resolution": size}
        if transformation == "translation" and name != "mlp":
            changes["views__base_size"] = (1, 1)
        module = SSLModule(tiny("h-ssl", **changes, backbone__width=1 / 32), 1, 7)
        assert module.predict(images()).shape == (8, 7), name
        loss, features = step_of(module, images(), module.draw(8, 0))
        assert loss.isfinite()
        assert isinstance(features, GroupFeatures)
        assert as_maps(features).shape == module.maps(images()).shape, name


def test_joint_views_keep_positions() -> None:
    module = labelled_module(tiny(views__joint=True, views__base_size=(2, 1, 1)))
    pairs = module.draw(64, 0)
    assert pairs.positions_1.shape == (64, 2)
    assert pairs.positions_1.max() >= 4
    loss = loss_of(module, images(64), pairs)
    assert loss.isfinite()
