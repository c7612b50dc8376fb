"""What is measured of a network, and what counts as gained."""

import pytest
import torch

from hssl.data import load_data
from hssl.training.measures import ACCURACIES, gain, measure
from small_runs import labelled_module, tiny


def accuracies(**values: float) -> dict[str, object]:
    return {name: {"accuracy": value} for name, value in values.items()}


def test_a_gain_is_more_than_the_test_images_can_make() -> None:
    before = accuracies(linear_probe=70.0, knn=60.0, few_labels=50.0)
    found = gain(accuracies(linear_probe=80.0, knn=59.5, few_labels=40.0), before, 10_000)
    assert found["points"] == {"linear_probe": 10.0, "knn": -0.5, "few_labels": -10.0}
    assert (found["better"], found["worse"]) == (["linear_probe"], ["few_labels"])
    # The control: of fewer images the same differences tell nothing.
    few = gain(accuracies(linear_probe=80.0, knn=59.5, few_labels=40.0), before, 30)
    assert (few["better"], few["worse"]) == ([], [])


def test_what_was_not_measured_is_neither_gained_nor_lost() -> None:
    found = gain({"readout": None, "knn": {"accuracy": 50.0}}, {"knn": None}, 100)
    assert found == {"points": {}, "better": [], "worse": []}


@pytest.mark.parametrize("readout", ["alongside", "afterwards"])
def test_every_measure_is_taken_and_the_network_stays(readout: str) -> None:
    config = tiny(evaluation__readout=readout, evaluation__readout_epochs=2)
    data = load_data(config.data)
    module = labelled_module(config).eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    found = measure(module, data.train, data.test, lambda _: None)
    assert all(0 <= found[name]["accuracy"] <= 100 and found[name]["protocol"] for name in ACCURACIES)
    assert found["label_free"]["effective_rank"] > 0
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_labels_that_readouts_and_probes_may_use_are_few_fixed_and_balanced() -> None:
    found = []
    for seed in (0, 1):
        config = tiny(evaluation__readout="afterwards", evaluation__readout_epochs=1, seed=seed)
        config = config.model_copy(
            update={"evaluation": config.evaluation.model_copy(update={"labelled_images": 30, "few_labels": 2})}
        )
        data = load_data(config.data)
        module = labelled_module(tiny(evaluation__readout="afterwards"))
        module.config = config
        found.append(measure(module.eval(), data.train, data.test, lambda _: None))
    assert "30 training images" in found[0]["knn"]["protocol"]
    assert found[0]["knn"] == found[1]["knn"]
    assert found[0]["few_labels"] == found[1]["few_labels"]


def test_a_supervised_network_is_read_like_all_others() -> None:
    """Whatever its own readout has become: a fresh one is fitted to the features."""
    data = load_data(tiny().data)
    accuracies_of = []
    for spoiled in (False, True):
        module = labelled_module(tiny("supervised", evaluation__readout="afterwards", evaluation__readout_epochs=3))
        if spoiled:
            assert module.readout is not None
            for parameter in module.readout.parameters():
                parameter.data.zero_()
        accuracies_of.append(measure(module.eval(), data.train, data.test, lambda _: None)["readout"])
    assert accuracies_of[0] == accuracies_of[1]
