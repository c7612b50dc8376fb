"""From files to batches: sources of images, the stores that hold them as bytes, the loader that cuts batches."""

from hssl.data.data_sets import DataSets, load_data
from hssl.data.loader import Batch, BatchLoader
from hssl.data.store import ImageStore, MappedStore, Store

__all__ = ["Batch", "BatchLoader", "DataSets", "ImageStore", "MappedStore", "Store", "load_data"]
