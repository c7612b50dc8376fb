"""What a network's features are worth: the same measures for every network, and what training added to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch

from hssl.config import Config
from hssl.data import Store
from hssl.evaluation.embeddings import embed
from hssl.evaluation.few_labels import few_labels
from hssl.evaluation.knn import knn
from hssl.evaluation.label_free import label_free
from hssl.evaluation.linear_probe import linear_probe
from hssl.evaluation.readout import fit_readout, readout_accuracy
from hssl.training.build import build_readout
from hssl.training.module import SSLModule

ACCURACIES = ("readout", "linear_probe", "knn", "few_labels")
"""Measures in percent, in the order of reports."""
_CHUNK = 256
_READOUT_BATCH = 256


def measure(module: SSLModule, train: Store, test: Store, told: Callable[[str], None]) -> dict[str, Any]:
    """Readout, linear probe, kNN, the probe from few labels and the label-free measures, as plain data.

    Args:
        module: in eval mode, on the stores' device; its backbone is measured and left as it is.
        train, test: the run's images. Without labels every accuracy is None.
        told: called with what is being done, in a few words.
    """
    figures: dict[str, Any] = dict.fromkeys(ACCURACIES)
    settings = module.config.evaluation
    if train.labels is not None and test.labels is not None:
        told("fitting and testing the readout" if settings.readout == "afterwards" else "testing the readout")
        figures["readout"] = _readout(module, train, test)
        told(f"probes on the features of {len(train):,} images")
        features = [embed(module.embed, store, _CHUNK) for store in (train, test)]
        arguments = (features[0], train.labels.cpu(), features[1], test.labels.cpu())
        seed, most = module.config.seed, settings.linear_probe_images
        neighbours = min(settings.knn_neighbours, len(train))
        figures["linear_probe"] = asdict(linear_probe(*arguments, max_train=most, seed=seed))
        figures["knn"] = asdict(knn(*arguments, neighbours=neighbours))
        figures["few_labels"] = asdict(few_labels(*arguments, per_class=settings.few_labels))
    told("measures that need no labels")
    images = min(settings.label_free_images, len(test))
    # Fewer have no ten neighbours each.
    enough = images > 10
    figures["label_free"] = (
        label_free(module.embed, test, module.backbone.group, images=images).as_dict() if enough else None
    )
    return figures


def gain(trained: Mapping[str, Any], untrained: Mapping[str, Any], test_images: int) -> dict[str, Any]:
    """What training added, in percentage points by measure, and whether that is more than chance can make.

    Returns:
        `points` by measure; `better` and `worse`: the measures that differ by more than two standard errors of the
        difference of two proportions over `test_images`, an upper bound since both networks see the same images.
    """
    points: dict[str, float] = {}
    better, worse = [], []
    for name in ACCURACIES:
        if not trained.get(name) or not untrained.get(name):
            continue
        one, other = (float(figures[name]["accuracy"]) for figures in (trained, untrained))
        points[name] = one - other
        error = math.sqrt((one * (100 - one) + other * (100 - other)) / test_images)
        if abs(one - other) > 2 * error:
            (better if one > other else worse).append(name)
    return {"points": points, "better": better, "worse": worse}


def _readout(module: SSLModule, train: Store, test: Store) -> dict[str, Any]:
    config = module.config
    if config.evaluation.readout == "alongside":
        assert module.readout is not None
        how = "through the whole network" if config.mode == "supervised" else "alongside on detached features"
        accuracy = readout_accuracy(module.predict, test, _CHUNK)
        return {"accuracy": accuracy, "protocol": f"the paper's readout, trained {how}; last epoch"}
    epochs = config.evaluation.readout_epochs
    readout = _fresh_readout(module, config).to(train.device)
    batch = min(_READOUT_BATCH, len(train))
    fit_readout(
        readout, torch.no_grad()(module.maps), train, epochs=epochs, batch_size=batch, seed=config.seed
    )
    accuracy = readout_accuracy(lambda images: readout(module.maps(images)), test, _CHUNK)
    protocol = f"the paper's readout, trained {epochs} epochs afterwards on frozen features; last epoch"
    return {"accuracy": accuracy, "protocol": protocol}


def _fresh_readout(module: SSLModule, config: Config) -> torch.nn.Module:
    """A readout with the run's first weights whatever was trained: a supervised network is read as all others are."""
    assert module.classes is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return build_readout(config, module.backbone, module.classes)
