"""Batch normalisation over the batches of all processes: one exchange forwards, one backwards.

In a training script, which every process runs:

    torch.distributed.init_process_group()  # gloo between CPUs, NCCL between GPUs
    model = bnlab.SyncBatchNorm.convert_sync_batchnorm(model)
    model = torch.nn.parallel.DistributedDataParallel(model)

To start two processes on this machine, or on each of two machines four, which meet at the first:

    torchrun --standalone --nproc-per-node 2 train.py
    torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint FIRST:29500 train.py
"""

from bnlab.distributed.layer import SyncBatchNorm
from bnlab.distributed.moments import Moments, combine_moments, gather_moments

__all__ = ["Moments", "SyncBatchNorm", "combine_moments", "gather_moments"]
