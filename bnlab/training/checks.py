"""What training refuses, each with a message that names the fix."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from bnlab.data import Dataset


def check_data(data: Dataset, epochs: int, batch_size: int) -> None:
    """Refuse data that are empty or do not fit each other, and batches that cannot be filled."""
    for name, split in (("train", data.train), ("test", data.test)):
        inputs, targets = split.inputs, split.targets
        if len(inputs) == 0:
            raise ValueError(f"data.{name} is empty: give it at least one sample")
        if targets.dim() != 1 or targets.dtype != torch.int64:
            raise ValueError(
                f"data.{name}.targets has shape {tuple(targets.shape)} and dtype {targets.dtype}: "
                "give one class index a sample, shape (N,) and dtype torch.int64; "
                "argmax(1) makes it of one-hot rows"
            )
        if len(inputs) != len(targets):
            raise ValueError(
                f"data.{name} has {len(inputs)} inputs and {len(targets)} targets: "
                "give each input its target"
            )
        if int(targets.min()) < 0 or int(targets.max()) >= count_classes(data):
            raise ValueError(
                f"data.{name}.targets go from {int(targets.min())} to {int(targets.max())}: "
                f"{count_classes(data)} classes are counted from 0 to {count_classes(data) - 1}"
            )
    if not 1 <= batch_size <= len(data.train.inputs):
        raise ValueError(
            f"batch_size is {batch_size}, and data.train has {len(data.train.inputs)} samples: "
            "choose a batch_size from 1 to that number"
        )
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}: train for at least 1")


def count_classes(data: Dataset) -> int:
    """As many as have a name; without names, as the training targets tell."""
    return len(data.classes) or int(data.train.targets.max()) + 1


def check_scores(scores: Any, samples: int, classes: int) -> None:
    """Refuse an output that is not one score for each class of each sample."""
    expected = (samples, classes)
    if isinstance(scores, Tensor) and tuple(scores.shape) == expected:
        return
    shape = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else f"a {type(scores)}"
    raise ValueError(
        f"for {samples} samples of {classes} classes the model returned {shape}: return one score "
        f"for each class, shape {expected}, for example from a last nn.Linear(..., {classes})"
    )


def check_schedule(scheduler: Any) -> LRScheduler:
    """Refuse what cannot be moved on by a plain `step()`."""
    if not isinstance(scheduler, LRScheduler) or isinstance(scheduler, ReduceLROnPlateau):
        raise TypeError(
            f"schedule made a {type(scheduler).__name__}: return a scheduler of "
            "torch.optim.lr_scheduler that depends on the step alone, such as OneCycleLR"
        )
    return scheduler
