"""From files to batches: sources of images, the store that holds them as bytes, the loader that cuts batches."""

from hssl.data.image_store import ImageStore
from hssl.data.loader import Batch, BatchLoader
from hssl.data.sources import DataSets, load_data

__all__ = ["Batch", "BatchLoader", "DataSets", "ImageStore", "load_data"]
