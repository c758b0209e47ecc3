"""What a training step costs: memory kept for the way back, and time."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bnlab.data import Split


def saved_bytes(model: nn.Module, batch: Split) -> int:
    """Count the bytes that a forward pass in train mode keeps for the backward pass.

    Memory that several layers keep is counted once; the parameters, the buffers and the batch not
    at all, since they are there anyway. So it is the same on every machine.

    Args:
        model: A classifier; its running statistics move, as with any forward pass in train mode.
        batch: Inputs and targets of one step.

    Shape:
        - inputs: :math:`(N, *)`, whatever `model` takes
        - targets: :math:`(N)`, int64

    Example:
        >>> batch = Split(torch.randn(64, 10), torch.zeros(64, dtype=torch.int64))
        >>> bare = nn.Sequential(nn.Linear(10, 20), nn.ReLU())
        >>> normed = nn.Sequential(nn.Linear(10, 20), nn.BatchNorm1d(20), nn.ReLU())
        >>> more = saved_bytes(normed, batch) - saved_bytes(bare, batch)
        >>> input, mean, rstd = 64 * 20, 20, 20
        >>> more == 4 * (input + mean + rstd)
        True

    https://docs.pytorch.org/tutorials/intermediate/autograd_saved_tensors_hooks_tutorial.html
    """
    there = (*model.parameters(), *model.buffers(), batch.inputs, batch.targets)
    owned = {tensor.untyped_storage().data_ptr() for tensor in there}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        # Held until all are counted, so that no address comes twice.
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _ = cross_entropy(model(batch.inputs), batch.targets)
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in owned)


def step_seconds(
    models: Mapping[str, nn.Module], batch: Split, *, rounds: int = 30, lr: float = 1e-3
) -> dict[str, float]:
    """Time a training step of each model: the median of `rounds` steps, taken in turns.

    A busy moment so hits every model alike. A step is the forward pass in train mode, the backward
    pass and plain SGD; three more go before, to warm up.

    Args:
        models: By name; they are trained a little.
        batch: The same for all.
        rounds: Steps of each that count.
        lr: Learning rate.

    Shape:
        - inputs: :math:`(N, *)`, whatever the models take
        - targets: :math:`(N)`, int64

    Raises:
        ValueError: `rounds` is below 1.

    Example:
        >>> batch = Split(torch.randn(64, 10), torch.zeros(64, dtype=torch.int64))
        >>> seconds = step_seconds({"one layer": nn.Linear(10, 2)}, batch, rounds=3)
        >>> seconds["one layer"] > 0
        True
    """
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}: time at least 1 step")
    steps = {name: torch.optim.SGD(model.parameters(), lr=lr) for name, model in models.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for model in models.values():
        model.train()
    for _ in range(3 + rounds):
        for name, model in models.items():
            start = time.perf_counter()
            steps[name].zero_grad()
            cross_entropy(model(batch.inputs), batch.targets).backward()
            steps[name].step()
            seconds[name].append(time.perf_counter() - start)
    return {name: torch.tensor(each[3:]).median().item() for name, each in seconds.items()}
