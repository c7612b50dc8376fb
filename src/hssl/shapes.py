"""The axis legend of the whole project, and the array types built from it.

B batch, C channels, G elements of the group axis ('streams'), H rows, W columns, N images or rows, P parameters of an
image transformation, K size of the base space |g0|, V views, D dimension of a projection.
"""

from typing import TypeAlias

from jaxtyping import Float, Int, UInt8
from torch import Tensor

Images: TypeAlias = Float[Tensor, "B C H W"]
Projections: TypeAlias = Float[Tensor, "N D"]
Labels: TypeAlias = Int[Tensor, " N"]
StoredImages: TypeAlias = UInt8[Tensor, "N C H W"]
Scalar: TypeAlias = Float[Tensor, ""]
