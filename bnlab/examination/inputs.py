"""Batches as they come, and no more of them than it takes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from typing import Any

from torch import Tensor, nn

SAMPLES, MOST = 256, 64
"""Batches are read until they hold so many samples, or there are so many batches."""


def take(batches: Iterable[Any], model: nn.Module) -> list[Tensor]:
    """Return the inputs of the first batches, as the model takes them.

    Raises:
        ValueError: There is no batch.
        TypeError: A batch is neither a tensor nor a tuple that begins with one.
    """
    taken: list[Tensor] = []
    # One tensor is one batch, though it could be gone through sample by sample.
    for batch in islice([batches] if isinstance(batches, Tensor) else batches, MOST):
        taken.append(_fit(input_of(batch), model))
        if sum(map(len, taken)) >= SAMPLES:
            break
    if not taken:
        raise ValueError("batches is empty: pass at least one")
    return taken


def last_size(batches: Any) -> int | None:
    """How many samples the last batch will have, as far as that is known without reading on."""
    if isinstance(batches, list | tuple) and batches:
        return len(input_of(batches[-1]))
    size, sampler = getattr(batches, "batch_size", None), getattr(batches, "sampler", None)
    if not isinstance(size, int) or sampler is None:
        return None
    try:
        left = len(sampler) % size
    except TypeError:
        # A stream has no length.
        return None
    return size if getattr(batches, "drop_last", False) or not left else left


def input_of(batch: Any) -> Tensor:
    """A batch's input.

    Raises:
        TypeError: It is neither a tensor nor a tuple that begins with one.
    """
    values = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if not isinstance(values, Tensor) or values.dim() == 0:
        raise TypeError(
            "a batch is a tensor or a tuple that begins with one, got "
            f"{type(batch).__name__}: pass (your_input(batch) for batch in batches)"
        )
    return values


def _fit(values: Tensor, model: nn.Module) -> Tensor:
    """Take an input to the device, and one of real numbers to the dtype, of the first parameter."""
    like = next(chain(model.parameters(), model.buffers()), values)
    if values.is_floating_point() and like.is_floating_point():
        return values.to(like)
    return values.to(like.device)
