"""Equivariant layers, one group axis for every group: [B, C, G, H, W]."""

from hssl.kernels.plan import PLAN_CHOICES, PLANS, Plan, PlanChoice
from hssl.layers.basis import BasisKind, hermite_gauss_basis
from hssl.layers.norm_pool import GroupBatchNorm, GroupPool, GroupReLU, SpacePool
from hssl.layers.plain import PlainConv2d
from hssl.layers.pointwise_conv import PointwiseConv2d
from hssl.layers.sizes import SpatialStep, check_size, legal_sizes
from hssl.layers.steerable import GroupConv2d, LiftingConv2d, SteerableConv2d

__all__ = [
    "PLANS",
    "PLAN_CHOICES",
    "BasisKind",
    "GroupBatchNorm",
    "GroupConv2d",
    "GroupPool",
    "GroupReLU",
    "LiftingConv2d",
    "PlainConv2d",
    "Plan",
    "PlanChoice",
    "PointwiseConv2d",
    "SpacePool",
    "SpatialStep",
    "SteerableConv2d",
    "check_size",
    "hermite_gauss_basis",
    "legal_sizes",
]
