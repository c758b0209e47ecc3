"""Batch normalisation from scratch: the arithmetic, the layers, and tools to look inside."""

from bnlab import functional
from bnlab.comparison import compare
from bnlab.layers import BatchNorm1d, BatchNorm2d, BatchNorm3d
from bnlab.recording import record

__version__ = "0.1.0"

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "__version__",
    "compare",
    "functional",
    "record",
]
