"""From files to batches: sources of images, the stores that hold them as bytes, the loader that cuts batches."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
