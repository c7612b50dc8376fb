"""What the paper reports: tables 1 and 2, its training settings and cost, and the works to cite. Imports no torch.

Every accuracy is a top-1 test accuracy in percent of a detached classifier, mean and standard deviation over 3 runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from hssl.config import Mode, Transformation

Dataset = Literal["mnist", "cifar10", "tiny-imagenet"]
BackboneKind = Literal["Rot-Eq.", "CNN", "SESN", "MLP", "CNN (6 x CHW)"]
Cell = tuple[Dataset, Transformation, BackboneKind, Mode]

RUNS = 3


@dataclass(frozen=True)
class PaperNumber:
    """One cell: mean and standard deviation over `RUNS` runs, in percent, and the table that it stands in."""

    mean: float
    std: float
    table: int

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.std:.1f}"


# (a-ssl, h-ssl, frozen, supervised), each mean and std, as the columns of the tables stand.
_Row = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
_COLUMNS: tuple[Mode, ...] = ("a-ssl", "h-ssl", "frozen", "supervised")
_TABLE_1: dict[tuple[Dataset, Transformation, BackboneKind], _Row] = {
    ("mnist", "rotation", "Rot-Eq."): ((68.2, 2.5), (70.3, 5.4), (87.2, 0.8), (99.4, 0.1)),
    ("mnist", "translation", "CNN"): ((95.9, 0.3), (96.0, 1.3), (94.1, 0.3), (99.2, 0.1)),
    ("mnist", "scale", "SESN"): ((98.6, 0.1), (98.3, 0.2), (94.7, 0.6), (99.3, 0.1)),
    ("cifar10", "rotation", "Rot-Eq."): ((46.1, 0.6), (48.3, 0.5), (38.4, 0.1), (73.0, 1.1)),
    ("cifar10", "translation", "CNN"): ((39.2, 0.5), (36.3, 1.1), (40.4, 0.2), (76.2, 1.4)),
    ("cifar10", "scale", "SESN"): ((59.4, 0.2), (56.7, 0.4), (41.1, 0.6), (78.0, 0.2)),
    ("tiny-imagenet", "rotation", "Rot-Eq."): ((14.9, 0.3), (13.5, 0.5), (6.1, 0.2), (22.5, 0.1)),
    ("tiny-imagenet", "scale", "SESN"): ((16.2, 0.4), (14.0, 1.3), (6.4, 0.2), (23.7, 0.2)),
}
_TABLE_2: dict[tuple[Dataset, Transformation, BackboneKind], _Row] = {
    ("mnist", "translation", "MLP"): ((87.6, 0.2), (58.2, 0.5), (83.0, 0.8), (98.6, 0.1)),
    ("mnist", "scale", "CNN (6 x CHW)"): ((95.2, 0.1), (87.2, 2.4), (87.2, 0.6), (99.3, 0.1)),
    ("cifar10", "scale", "CNN (6 x CHW)"): ((53.6, 0.2), (37.5, 0.1), (43.6, 0.3), (67.9, 2.1)),
}

NUMBERS: Mapping[Cell, PaperNumber] = MappingProxyType(
    {
        (*row, mode): PaperNumber(mean, std, table)
        for table, rows in ((1, _TABLE_1), (2, _TABLE_2))
        for row, cells in rows.items()
        for mode, (mean, std) in zip(_COLUMNS, cells, strict=True)
    }
)
"""Every cell of tables 1 and 2. Tiny ImageNet has no translation row: its 4 x 4 maps were too small for H-SSL."""

EPOCHS: Mapping[Dataset, int] = MappingProxyType({"mnist": 500, "cifar10": 1300, "tiny-imagenet": 1300})
TRAIN_IMAGES: Mapping[Dataset, int] = MappingProxyType({"mnist": 60_000, "cifar10": 50_000, "tiny-imagenet": 100_000})
BATCH_SIZE = 4096
LEARNING_RATE = 0.1
TEMPERATURE = 0.1
WEIGHT_DECAY = 1e-4
WARMUP_EPOCHS = 10
GPU_HOURS: Mapping[Dataset, int] = MappingProxyType({"mnist": 8, "cifar10": 640, "tiny-imagenet": 640})
"""GPU-hours of one run: 1 hour on 8 GPUs, 10 hours on 64 (appendix B)."""
TOTAL_GPU_HOURS = 85_000


def steps(dataset: Dataset) -> int:
    """Optimizer steps of one of the paper's runs, whole batches only."""
    return EPOCHS[dataset] * (TRAIN_IMAGES[dataset] // BATCH_SIZE)


HSSL = """\
@article{keller2023homomorphic,
  title   = {Homomorphic Self-Supervised Learning},
  author  = {Keller, T. Anderson and Suau, Xavier and Zappella, Luca},
  journal = {Transactions on Machine Learning Research},
  year    = {2023},
  url     = {https://openreview.net/forum?id=tEKqQgbwbf},
  note    = {arXiv:2211.08282},
}"""
"""The paper: the objective, the theory and every experiment here."""

SESN = """\
@inproceedings{sosnovik2020scale,
  title     = {Scale-Equivariant Steerable Networks},
  author    = {Sosnovik, Ivan and Szmaja, Michał and Smeulders, Arnold},
  booktitle = {International Conference on Learning Representations},
  year      = {2020},
}"""
"""The steerable layers that every backbone of the paper is built from."""

SIMCLR = """\
@inproceedings{chen2020simple,
  title     = {A Simple Framework for Contrastive Learning of Visual Representations},
  author    = {Chen, Ting and Kornblith, Simon and Norouzi, Mohammad and Hinton, Geoffrey},
  booktitle = {International Conference on Machine Learning},
  year      = {2020},
}"""
"""The objective that A-SSL starts from."""

LARS = """\
@misc{you2017large,
  title  = {Large Batch Training of Convolutional Networks},
  author = {You, Yang and Gitman, Igor and Ginsburg, Boris},
  year   = {2017},
  eprint = {1708.03888},
  archivePrefix = {arXiv},
}"""
"""The optimizer."""
