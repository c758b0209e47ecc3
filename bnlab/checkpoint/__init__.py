"""Save a network, its optimizer and its generators; load them whole or not at all, running nothing.

A checkpoint is one safetensors file. Parameters and buffers stand in it under their names in the
state dict, so that any reader of safetensors finds them; what else a training needs stands beside.
"""

from bnlab.checkpoint.contents import read
from bnlab.checkpoint.errors import CheckpointError
from bnlab.checkpoint.inspection import Inspection, NormInfo, TensorInfo, inspect
from bnlab.checkpoint.loading import Loaded, load
from bnlab.checkpoint.saving import save

__all__ = [
    "CheckpointError",
    "Inspection",
    "Loaded",
    "NormInfo",
    "TensorInfo",
    "inspect",
    "load",
    "read",
    "save",
]
