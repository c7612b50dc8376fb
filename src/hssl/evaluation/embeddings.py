"""Features of a whole data set, computed once."""

from collections.abc import Callable

import torch
from torch import Tensor

from hssl.data.store import Store
from hssl.errors import DataError, SizeError


def embed(encode: Callable[[Tensor], Tensor], store: Store, batch_size: int = 256) -> Tensor:
    """The features of every image of a store, in the store's order.

    Args:
        encode: images [B, C, H, W] to pooled features [B, D]; its network is already in eval mode.
        store: N images, on the device of the network.
        batch_size: images a pass; it changes the memory, not the features.

    Returns:
        Features [N, D], float32, on the CPU.

    Raises:
        DataError: the store is empty.
        SizeError: `encode` gives something else than one vector an image.
    """
    if len(store) == 0:
        raise DataError("there are no images to embed", expected="a store with one image or more")
    with torch.inference_mode():
        batches = torch.split(torch.arange(len(store), device=store.device), batch_size)
        parts = [encoded(encode, store.batch(indices)) for indices in batches]
    # Joined outside of inference mode: an inference tensor could never take part in anything with gradients.
    return torch.cat(parts)


def encoded(encode: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The features [B, D] of images [B, C, H, W], float32 on the CPU.

    Raises:
        SizeError: `encode` gives something else than one vector an image.
    """
    features = encode(images)
    if features.ndim != 2 or len(features) != len(images):
        raise SizeError(
            "a probe needs one feature vector an image",
            got=f"{list(features.shape)} for {len(images)} images",
            expected="[B, D]",
            hint="pool over the group and over space, or flatten, in `encode`",
        )
    return features.float().cpu()
