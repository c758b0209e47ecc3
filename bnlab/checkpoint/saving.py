"""Save what a training needs to go on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Generator, nn
from torch.optim import Optimizer

from bnlab.checkpoint import generators as states
from bnlab.checkpoint.safetensors_file import write


def save(
    path: str | os.PathLike[str],
    model: nn.Module,
    *,
    optimizer: Optimizer | None = None,
    scheduler: Any = None,
    epoch: int | None = None,
    step: int | None = None,
    config: Any = None,
    rng: bool = True,
    generators: Mapping[str, Generator] | None = None,
) -> None:
    """Write parameters, buffers and what else is given to one file, in one step.

    The file is written and flushed to the disk beside the old one, and then takes its place:
    whenever the process or the machine stops, the old file is there or the new one, and whole.

    Args:
        path: Of the file, usually with `.safetensors` at its end.
        model: Whose state dict is saved; the two names of a shared tensor stay one tensor.
        optimizer: Whose state is saved, such as the velocities of SGD.
        scheduler: One of `torch.optim.lr_scheduler`, or what else has a `state_dict`.
        epoch: Where the training is.
        step: As `epoch`, in steps.
        config: What is needed to build the model again: numbers, text, lists, tuples, dicts.
        rng: Whether the global generators of torch, Python and NumPy are saved.
        generators: Others by name, such as the one that shuffles the data.

    Raises:
        CheckpointError: Something is not a tensor or plain, or the disk does not take it; what was
            at `path` is still there.

    Example:
        >>> import tempfile
        >>> from bnlab import checkpoint
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/best.safetensors", model, epoch=7)
        ...     checkpoint.load(f"{folder}/best.safetensors", model).epoch
        7
    """
    contents = {
        "model": dict(model.state_dict()),
        "optimizer": None if optimizer is None else optimizer.state_dict(),
        "scheduler": None if scheduler is None else scheduler.state_dict(),
        "epoch": epoch,
        "step": step,
        "config": config,
        "rng": states.capture() if rng else None,
        "generators": states.capture_own(generators) if generators else None,
    }
    write(Path(path), contents)
