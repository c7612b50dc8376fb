"""What a network's features are worth: the same measures for every network, and what training added to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from hssl.config import Config
from hssl.data import Store
from hssl.data.labels import balanced_choice
from hssl.evaluation.embeddings import embed
from hssl.evaluation.feature_store import FeatureStore
from hssl.evaluation.few_labels import few_labels
from hssl.evaluation.knn import knn
from hssl.evaluation.label_free import label_free
from hssl.evaluation.linear_probe import linear_probe
from hssl.evaluation.readout import fit_readout, readout_accuracy
from hssl.training.module import SSLModule

ACCURACIES = ("readout", "linear_probe", "knn", "few_labels", "knn_raw")
"""Measures in percent, in the order of reports."""
_CHUNK = 256
_READOUT_BATCH = 256
# The choice belongs to the data: every seed is read on the same labels.
_LABELLED_SEED = (20221110,)


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
        fitted_on = FeatureStore(module.maps, train, _labelled(train, settings.labelled_images))
        told(f"features of {len(fitted_on) + len(test):,} images")
        tested_on = FeatureStore(module.maps, test)
        told("fitting and testing the readout" if settings.readout == "afterwards" else "testing the readout")
        figures["readout"] = _readout(module, fitted_on, tested_on)
        told("linear probes and nearest neighbours")
        features = [embed(module.embedding_of, store, _CHUNK) for store in (fitted_on, tested_on)]
        assert fitted_on.labels is not None
        arguments = (features[0], fitted_on.labels.cpu(), features[1], test.labels.cpu())
        seed, most = module.config.seed, settings.linear_probe_images
        neighbours = min(settings.knn_neighbours, len(fitted_on))
        figures["linear_probe"] = asdict(linear_probe(*arguments, max_train=most, seed=seed))
        figures["knn"] = asdict(knn(*arguments, neighbours=neighbours))
        figures["knn_raw"] = asdict(knn(*arguments, neighbours=neighbours, standardise=False))
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
    better: list[str] = []
    worse: list[str] = []
    for name in ACCURACIES:
        if not trained.get(name) or not untrained.get(name):
            continue
        one, other = (float(figures[name]["accuracy"]) for figures in (trained, untrained))
        points[name] = one - other
        error = math.sqrt((one * (100 - one) + other * (100 - other)) / test_images)
        if abs(one - other) > 2 * error:
            (better if one > other else worse).append(name)
    return {"points": points, "better": better, "worse": worse}


def _labelled(store: Store, wanted: int | None) -> Tensor | None:
    if wanted is None or wanted >= len(store) or store.labels is None:
        return None
    return torch.from_numpy(balanced_choice(store.labels.cpu().numpy(), len(store), wanted, _LABELLED_SEED))


def _readout(module: SSLModule, train: FeatureStore, test: FeatureStore) -> dict[str, Any]:
    config = module.config
    if config.evaluation.readout == "alongside":
        assert module.readout is not None
        how = "through the whole network" if module.method.readout is not None else "alongside on detached features"
        accuracy = readout_accuracy(module.readout, test, _CHUNK)
        return {"accuracy": accuracy, "protocol": f"the paper's readout, trained {how}; last epoch"}
    epochs = config.evaluation.readout_epochs
    readout = _fresh_readout(module, config).to(train.device)
    fit_readout(readout, train, epochs=epochs, batch_size=min(_READOUT_BATCH, len(train)), seed=config.seed)
    how = f"trained {epochs} epochs afterwards on frozen features of {len(train):,} images"
    return {"accuracy": readout_accuracy(readout, test, _CHUNK), "protocol": f"the paper's readout, {how}; last epoch"}


def _fresh_readout(module: SSLModule, config: Config) -> torch.nn.Module:
    """A readout with the run's first weights whatever was trained: a supervised network is read as all others are."""
    assert module.classes is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return module.backbone.build_readout(module.classes)
