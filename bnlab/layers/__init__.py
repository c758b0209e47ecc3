"""Normalisation as modules, drop-ins for `torch.nn`'s: the same arguments, names and state dicts.

They own parameters and buffers, `bnlab.functional` does the arithmetic.
"""

from bnlab.layers.batch import BatchNorm1d, BatchNorm2d, BatchNorm3d
from bnlab.layers.group import GroupNorm
from bnlab.layers.instance import InstanceNorm1d, InstanceNorm2d, InstanceNorm3d
from bnlab.layers.layer import LayerNorm, RMSNorm

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "RMSNorm",
]
