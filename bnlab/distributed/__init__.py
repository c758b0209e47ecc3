"""Batch normalisation over the batches of all processes: one exchange forwards, one backwards."""

from bnlab.distributed.layer import SyncBatchNorm
from bnlab.distributed.moments import Moments, combine_moments, gather_moments

__all__ = ["Moments", "SyncBatchNorm", "combine_moments", "gather_moments"]
