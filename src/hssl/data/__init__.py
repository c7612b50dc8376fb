"""From files to batches: sources of images, the stores that hold them as bytes, the loader that cuts batches."""

from hssl.data.image_store import ImageStore
from hssl.data.loader import Batch, BatchLoader
from hssl.data.mapped_store import MappedStore, mapped
from hssl.data.sources import DataSets, load_data
from hssl.data.store import Store

__all__ = ["Batch", "BatchLoader", "DataSets", "ImageStore", "MappedStore", "Store", "load_data", "mapped"]
