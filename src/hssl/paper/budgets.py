"""How much of the paper's compute a run spends: one table for what a shorter run of the same method scales.

A budget scales epochs, batch, width and the number of images, and the warm-up follows. Groups, layers, views,
objective and resolution are the recipe's. Three things change below the paper's budget (docs/decisions.md, row 17):

- the optimizer. LARS moves a layer by rate x trust coefficient x |w| a step: 1e-4 of its norm at the paper's 0.1, made
  for the 7,000 steps of a run on MNIST; a few hundred of them leave a network as it was. AdamW learns in that time. Its
  rates, one for networks with structure and one for each kind without, were chosen once, on images held out from
  MNIST's training set (results/search).
- translations pair places at most `NEAR` apart. Two fibers anywhere on a digit share so little that a short run stays
  at chance.
- the readout is fitted to the finished network: it cannot follow a moving one in a few hundred steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from hssl.config import BudgetName
from hssl.optimizers.settings import AdamWSettings, LARSSettings, OptimizerSettings
from hssl.paper import numbers as paper

Workload = Literal[
    "digits",
    "mnist",
    "mnist-rotation",
    "mnist-scale",
    "mnist-mlp",
    "mnist-cnn",
    "cifar10",
    "cifar10-cnn",
    "tiny-imagenet",
    "folder",
]
BUDGET_NAMES: tuple[BudgetName, ...] = get_args(BudgetName)


@dataclass(frozen=True)
class Budget:
    """What one run may spend. `width` multiplies the recipe's own; `labelled_images` are what readouts are fitted on;
    `minutes`, training and evaluation, is an upper estimate on two CPU cores (`long`: on one)."""

    epochs: int
    batch_size: int
    width: float = 1.0
    train_images: int | None = None
    test_images: int | None = None
    labelled_images: int | None = None
    minutes: float | None = None


PAPER_OPTIMIZER = LARSSettings(
    learning_rate=paper.LEARNING_RATE,
    momentum=0.9,
    weight_decay=paper.WEIGHT_DECAY,
    trust_coefficient=1e-3,
)
_RATE = 8e-3
_RATES_WITHOUT_STRUCTURE: Mapping[Workload, float] = MappingProxyType(
    {"mnist-mlp": 2.5e-4, "mnist-cnn": 2e-3, "cifar10-cnn": 2e-3}
)
NEAR = 2.0
"""Largest squared distance between g1 and g2 of translations at short budgets: a step of the grid along each axis."""

BUDGETS: Mapping[BudgetName, Mapping[Workload, Budget]] = MappingProxyType(
    {   # Four or six streams cost that many times an ordinary CNN: they have rows of their own.
        #                             epochs  batch  width   train  test  labelled  minutes
        "smoke": {
            "digits":         Budget(     3,   128,  1 / 4,   512,  256, minutes=1),
            "mnist":          Budget(     2,   128,  1 / 4,  1024,  512, minutes=1),
            "mnist-rotation": Budget(     2,   128,  1 / 4,  1024,  512, minutes=1),
            "mnist-scale":    Budget(     2,   128,  1 / 4,  1024,  512, minutes=1),
            "mnist-mlp":      Budget(     2,   128,  1 / 4,  1024,  512, minutes=1),
            "mnist-cnn":      Budget(     2,   128,  1 / 8,  1024,  512, minutes=1),
            "cifar10":        Budget(     2,    64, 1 / 16,   512,  256, minutes=1),
            "cifar10-cnn":    Budget(     2,    64, 1 / 32,   512,  256, minutes=1),
            "tiny-imagenet":  Budget(     2,    64, 1 / 16,   512,  256, minutes=1),
            "folder":         Budget(     1,    32,  1 / 8,   128,   64, minutes=1),
        },
        "quick": {
            "digits":         Budget(    20,   128,  1 / 4,  None, None, minutes=3),
            "mnist":          Budget(     4,   256,  1 / 4, 20000, None, 5000, minutes=3),
            "mnist-rotation": Budget(     4,   256,  1 / 4, 20000, None, 5000, minutes=3),
            "mnist-scale":    Budget(     4,   256,  1 / 4, 20000, None, 5000, minutes=3),
            "mnist-mlp":      Budget(     4,   256,  1 / 2, 20000, None, 5000, minutes=3),
            "mnist-cnn":      Budget(     4,   256,  1 / 8, 20000, None, 5000, minutes=3),
            "cifar10":        Budget(     4,   128, 1 / 16,  5000, 2000, minutes=3),
            "cifar10-cnn":    Budget(     4,   128, 1 / 32,  5000, 2000, minutes=3),
            "tiny-imagenet":  Budget(     4,   128, 1 / 16,  5000, 2000, minutes=3),
            "folder":         Budget(     2,    64,  1 / 4,   512,  256, minutes=3),
        },
        # The largest of MNIST's take about 15 minutes on one core, with their evaluation.
        "long": {
            "digits":         Budget(   200,   128,  1 / 4,  None, None, minutes=20),
            "mnist":          Budget(     6,   256,  1 / 2,  None, None, minutes=20),
            "mnist-rotation": Budget(     5,   256,  1 / 4,  None, None, minutes=20),
            "mnist-scale":    Budget(     5,   256,  1 / 4,  None, None, minutes=20),
            "mnist-mlp":      Budget(     6,   256,  1 / 2,  None, None, minutes=20),
            "mnist-cnn":      Budget(     3,   256,  1 / 8,  None, None, minutes=20),
            "cifar10":        Budget(     3,   128, 1 / 16, 20000, None, 5000, minutes=20),
            "cifar10-cnn":    Budget(     3,   128, 1 / 32, 20000, None, 5000, minutes=20),
            "tiny-imagenet":  Budget(     3,   128, 1 / 16, 20000, None, minutes=20),
            "folder":         Budget(    20,    64,  1 / 4,  None, None, minutes=20),
        },
        # The embedded digits and one's own folder are not in the paper and may hold fewer images than its batch.
        "paper": {
            "digits":         Budget(   500,   256),
            "mnist":          Budget(   500,  4096),
            "mnist-rotation": Budget(   500,  4096),
            "mnist-scale":    Budget(   500,  4096),
            "mnist-mlp":      Budget(   500,  4096),
            "mnist-cnn":      Budget(   500,  4096),
            "cifar10":        Budget(  1300,  4096),
            "cifar10-cnn":    Budget(  1300,  4096),
            "tiny-imagenet":  Budget(  1300,  4096),
            "folder":         Budget(  1300,   512),
        },
    }
)  # fmt: skip

DIGITS_TEST_FRACTION = 0.2
TRAIN_IMAGES: Mapping[Workload, int | None] = MappingProxyType(
    {
        "digits": round(1797 * (1 - DIGITS_TEST_FRACTION)),
        "mnist": paper.TRAIN_IMAGES["mnist"],
        "mnist-rotation": paper.TRAIN_IMAGES["mnist"],
        "mnist-scale": paper.TRAIN_IMAGES["mnist"],
        "mnist-mlp": paper.TRAIN_IMAGES["mnist"],
        "mnist-cnn": paper.TRAIN_IMAGES["mnist"],
        "cifar10": paper.TRAIN_IMAGES["cifar10"],
        "cifar10-cnn": paper.TRAIN_IMAGES["cifar10"],
        "tiny-imagenet": paper.TRAIN_IMAGES["tiny-imagenet"],
        "folder": None,
    }
)
"""Images of the whole training set; none where nobody can know before it is read."""

REFERENCE: Mapping[Workload, paper.Dataset] = MappingProxyType(
    {
        "digits": "mnist",
        "mnist": "mnist",
        "mnist-rotation": "mnist",
        "mnist-scale": "mnist",
        "mnist-mlp": "mnist",
        "mnist-cnn": "mnist",
        "cifar10": "cifar10",
        "cifar10-cnn": "cifar10",
        "tiny-imagenet": "tiny-imagenet",
        "folder": "cifar10",
    }
)
"""The runs of the paper whose number of steps and share of warm-up a workload is measured against."""


def short_optimizer(workload: Workload) -> OptimizerSettings:
    """What runs below the paper's budget train with, warm-up aside: chosen by the search in results/search."""
    rate = _RATES_WITHOUT_STRUCTURE.get(workload, _RATE)
    return AdamWSettings(learning_rate=rate, weight_decay=paper.WEIGHT_DECAY)


def steps(workload: Workload, budget: BudgetName) -> int | None:
    """Optimizer steps of a run, whole batches only; none where the number of images is not known."""
    row = BUDGETS[budget][workload]
    images = row.train_images or TRAIN_IMAGES[workload]
    return None if images is None else row.epochs * max(1, images // row.batch_size)


def warmup_epochs(workload: Workload, budget: BudgetName) -> float:
    """The paper's share of the epochs (10 of 500, 10 of 1300), at least one epoch and at most half of them."""
    epochs = BUDGETS[budget][workload].epochs
    share = paper.WARMUP_EPOCHS / paper.EPOCHS[REFERENCE[workload]]
    return min(max(1.0, float(f"{share * epochs:.3g}")), epochs / 2)
