"""Which layers are batch norms and instance norms: torch's, ours, and what is built on them."""

from __future__ import annotations

from typing import Any

from torch import nn

from bnlab.layers.batch import _BatchNorm
from bnlab.layers.instance import _InstanceNorm

# By torch's base classes, so that SyncBatchNorm and lazy layers are among them.
BATCH_NORMS: tuple[type[nn.Module], ...] = (nn.modules.batchnorm._BatchNorm, _BatchNorm)
INSTANCE_NORMS: tuple[type[nn.Module], ...] = (nn.modules.instancenorm._InstanceNorm, _InstanceNorm)


def keeps_statistics(layer: Any) -> bool:
    """Tell whether a batch or instance norm has running statistics, used in eval mode."""
    return layer.running_mean is not None and layer.running_var is not None
