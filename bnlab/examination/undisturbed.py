"""Use a model for a while, and leave no trace."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn


@contextmanager
def undisturbed(model: nn.Module, batches: object) -> Iterator[None]:
    """Eval mode without gradients; then modes, buffers and generators are put back as they were."""
    modes = [(module, module.training) for module in model.modules()]
    kept = [
        (module._buffers, name, buffer)
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    copies: dict[int, Tensor] = {}
    try:
        for module, _ in modes:
            module.training = False
        # Copies are worked with, so that nothing at all is written to the model's own.
        for own, name, buffer in kept:
            own[name] = copies.setdefault(id(buffer), buffer.detach().clone())
        with (
            same_random_numbers(model, batches),
            torch.inference_mode(False),
            torch.no_grad(),
        ):
            yield
    finally:
        for own, name, buffer in kept:
            own[name] = buffer
        for module, training in modes:
            module.training = training


@contextmanager
def same_random_numbers(model: nn.Module, batches: Any = None) -> Iterator[None]:
    """Put back torch's, Python's and NumPy's generators, and those of a loader."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    holders = (batches, getattr(batches, "sampler", None))
    generators = [getattr(holder, "generator", None) for holder in holders]
    own = [(g, g.get_state()) for g in generators if isinstance(g, Generator)]
    devices = {t.device for t in chain(model.parameters(), model.buffers()) if t.is_cuda}
    try:
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        for generator, state in own:
            generator.set_state(state)
