"""One of the processes that `bnlab.experiments.processes` starts: it trains on its share."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from bnlab import models
from bnlab.distributed import SyncBatchNorm
from bnlab.experiments.torchrun import end_with_parent
from bnlab.training.repeatable import build_exactly, round_

NORMS = ("BatchNorm", "SyncBatchNorm")


def untrained(seed: int) -> Any:
    """The network that every process starts from."""
    return build_exactly(lambda: models.mlp(64, nn.BatchNorm1d), seed)


def statistics(network: Any) -> dict[str, Tensor]:
    """The running statistics of both norms, one behind the other."""
    norms = network.norm1, network.norm2
    return {
        name: torch.cat([getattr(norm, name) for norm in norms])
        for name in ("running_mean", "running_var")
    }


def train(
    model: nn.Module, network: Any, task: dict[str, Any], rows: Tensor, own: slice, weight: float
) -> dict[str, Tensor]:
    """Train `model`, which is `network` or wraps it, on its own share of each row of samples.

    Args:
        model: What is called.
        network: What has the norms.
        task: All inputs and targets, and the learning rate.
        rows: Which samples each batch has, of all processes together, (T, N).
        own: Which of those are this process's.
        weight: Of the loss, so that the processes' gradients average to those of the whole batch.
    """
    inputs, targets = task["inputs"], task["targets"]
    optimizer = torch.optim.SGD(model.parameters(), lr=task["lr"])
    found: dict[str, Tensor] = {}
    losses = []
    for step, batch in enumerate(rows):
        share = inputs[batch[own]].requires_grad_(step == 0)
        output = model(share)
        loss = cross_entropy(output, targets[batch[own]], reduction="sum") / len(batch)
        optimizer.zero_grad()
        (weight * loss).backward()
        losses.append(loss.detach())
        if step == 0:
            assert share.grad is not None
            found["outputs"] = output.detach()
            found["input gradients"] = share.grad / weight
            found |= statistics(network)
        optimizer.step()
        for parameter in model.parameters():
            round_(parameter.data)
    return {**found, "losses": torch.stack(losses)}


def main(folder: Path) -> None:
    """Read the task from a file, train once with each norm, and write what came of it."""
    end_with_parent()
    dist.init_process_group("gloo", timeout=timedelta(seconds=120))
    rank, size = dist.get_rank(), dist.get_world_size()
    task = torch.load(folder / "task.pt", weights_only=True)
    first = sum(task["shares"][:rank])
    own = slice(first, first + task["shares"][rank])
    found: dict[str, Any] = {}
    for deal, rows in task["rows"].items():
        for norm in NORMS:
            network = untrained(task["seed"])
            if norm == "SyncBatchNorm":
                network = SyncBatchNorm.convert_sync_batchnorm(network)
            model = DistributedDataParallel(network)
            found[f"{deal}, {norm}"] = (
                train(model, network, task, rows, own, size),
                network.state_dict(),
            )
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
