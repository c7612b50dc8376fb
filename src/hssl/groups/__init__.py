"""Groups G, the base spaces in them, and the features that they index."""

from hssl.groups.augmentation import Augmentation
from hssl.groups.base_space import BaseSpace
from hssl.groups.dihedral import Dihedral
from hssl.groups.features import GroupFeatures, StreamFeatures
from hssl.groups.group import Distance, Exactness, Group
from hssl.groups.product import Product
from hssl.groups.rotations import Rotations
from hssl.groups.scales import Scales
from hssl.groups.streams import Streams
from hssl.groups.translations import Translations
from hssl.groups.unstructured import Unstructured

__all__ = [
    "Augmentation",
    "BaseSpace",
    "Dihedral",
    "Distance",
    "Exactness",
    "Group",
    "GroupFeatures",
    "Product",
    "Rotations",
    "Scales",
    "StreamFeatures",
    "Streams",
    "Translations",
    "Unstructured",
]
