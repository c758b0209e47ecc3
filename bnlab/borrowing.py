"""Use a model, or the generators of random numbers, for a while, and put them back as they were."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put all modules in one mode, and each back in its own: one may have been frozen."""
    before = [(module, module.training) for module in model.modules()]
    try:
        model.train(training)
        yield
    finally:
        for module, was in before:
            module.training = was


@contextmanager
def same_random_numbers(devices: Iterable[torch.device] = ()) -> Iterator[None]:
    """Put back torch's, Python's and NumPy's global generators, and torch's of these GPUs."""
    # The old generator of numpy, too: it is the one that code draws from without a word.
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[each for each in devices if each.type == "cuda"]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
