"""Batch normalisation from scratch: the arithmetic, the layers, and tools to look inside."""

from bnlab import functional
from bnlab.comparison import compare
from bnlab.conversion import convert
from bnlab.distributed import SyncBatchNorm
from bnlab.examination import examine
from bnlab.folding import fold
from bnlab.freezing import freeze, unfreeze
from bnlab.layers import (
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    RMSNorm,
)
from bnlab.recalibration import recalibrate
from bnlab.recording import record

__version__ = "0.1.0"

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
    "SyncBatchNorm",
    "__version__",
    "compare",
    "convert",
    "examine",
    "fold",
    "freeze",
    "functional",
    "recalibrate",
    "record",
    "unfreeze",
]
