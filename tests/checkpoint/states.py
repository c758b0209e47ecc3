"""A small training with all that a checkpoint keeps, and its state to the last bit."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn, optim

from bnlab import BatchNorm1d
from bnlab.checkpoint import CheckpointError


def frozen(value: object) -> object:
    """The same for two values exactly if they agree in every bit, type, shape and order."""
    if isinstance(value, Tensor):
        kind = (str(value.dtype), tuple(value.shape), str(value.device))
        if value.is_meta:
            return kind
        flat = value.detach().cpu().contiguous().flatten()
        return (*kind, sha256(flat.view(torch.uint8).numpy()).hexdigest())
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, sha256(value.tobytes()).hexdigest())
    if isinstance(value, dict):
        return (type(value), [(frozen(key), frozen(item)) for key, item in value.items()])
    if isinstance(value, list | tuple):
        return (type(value), [frozen(item) for item in value])
    if isinstance(value, float):
        return (float, struct.pack("<d", value))
    return (type(value), value)


def global_generators() -> object:
    """The states of torch's, Python's and NumPy's global generators, frozen."""
    return frozen([torch.get_rng_state(), random.getstate(), np.random.get_state()])  # noqa: NPY002


def refusal(call: Callable[[], object]) -> CheckpointError | None:
    """The error that a call ends with, or None if it does not."""
    try:
        call()
    except CheckpointError as error:
        return error
    return None


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def seed_all(seed: int) -> None:
    """Seed the three global generators."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002


@dataclass
class Work:
    """A model and what trains it."""

    model: nn.Module
    optimizer: optim.Optimizer
    scheduler: Any
    order: torch.Generator

    def parts(self) -> dict[str, Any]:
        """As keywords of `save` and `load`."""
        return {
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "generators": {"order": self.order},
        }

    def frozen(self) -> object:
        """All of it, with the modes, the gradients and the global generators."""
        return (
            frozen(self.model.state_dict()),
            [module.training for module in self.model.modules()],
            [frozen(parameter.grad) for parameter in self.model.parameters()],
            [id(parameter) for parameter in self.model.parameters()],
            frozen(self.optimizer.state_dict()),
            frozen(self.scheduler.state_dict()),
            frozen(self.order.get_state()),
            global_generators(),
        )

    def kept(self) -> list[object]:
        """What a checkpoint keeps of it: model, optimizer, scheduler, generator."""
        states = (self.model.state_dict(), self.optimizer.state_dict(), self.scheduler.state_dict())
        return [frozen(state) for state in (*states, self.order.get_state())]


def small_work(seed: int, steps: int = 0) -> Work:
    """A linear layer and a batch norm, after some steps of momentum SGD."""
    draw = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 2), BatchNorm1d(2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 3, generator=draw)).square().sum().backward()
        optimizer.step()
        scheduler.step()
    return Work(model, optimizer, scheduler, draw)
