"""Homomorphic self-supervised learning: positive pairs inside the feature space of equivariant networks.

Implements Keller, Suau and Zappella, 'Homomorphic Self-Supervised Learning' (TMLR 2023, arXiv:2211.08282,
https://openreview.net/forum?id=tEKqQgbwbf). Sub-packages are imported on first use, so that `import hssl` and the
command line stay quick.
"""

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

_MODULES = (
    "analysis", "backbones", "config", "data", "errors", "evaluation", "groups", "heads", "layers", "objectives",
    "paper", "report", "runs", "shapes", "training", "views",
)  # fmt: skip

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return import_module(f"hssl.{name}")
    raise AttributeError(f"module 'hssl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
