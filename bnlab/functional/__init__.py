"""The arithmetic of normalisation, under the names and signatures of `torch.nn.functional`.

`moments` and `normalize` are the definition, `normalize_backward` is its gradient. Each norm is a
choice of the cells that share a mean; `standardize` does the work for all of them.
"""

from bnlab.functional.arithmetic import moments, normalize, normalize_backward, update_running
from bnlab.functional.batch import batch_norm, instance_norm
from bnlab.functional.sample import group_norm, layer_norm, rms_norm

__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "moments",
    "normalize",
    "normalize_backward",
    "rms_norm",
    "update_running",
]
