"""Homomorphic self-supervised learning: positive pairs inside the feature space of equivariant networks.

Implements Keller, Suau and Zappella, 'Homomorphic Self-Supervised Learning' (TMLR 2023, arXiv:2211.08282). What users
need can be imported from here; each name is looked up on first use, so that `import hssl` stays quick.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
