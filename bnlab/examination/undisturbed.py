"""Use a model for a while, and leave no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Generator, Tensor, nn

from bnlab.borrowing import same_random_numbers


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
            same_random_numbers(devices_of(model)),
            _same_loader(batches),
            torch.inference_mode(False),
            torch.no_grad(),
        ):
            yield
    finally:
        for own, name, buffer in kept:
            own[name] = buffer
        for module, training in modes:
            module.training = training


def devices_of(model: nn.Module) -> set[torch.device]:
    """Where the model's tensors lie."""
    return {tensor.device for tensor in chain(model.parameters(), model.buffers())}


@contextmanager
def _same_loader(batches: Any) -> Iterator[None]:
    """Put back a loader's own generators."""
    holders = (batches, getattr(batches, "sampler", None))
    generators = [getattr(holder, "generator", None) for holder in holders]
    own = [(g, g.get_state()) for g in generators if isinstance(g, Generator)]
    try:
        yield
    finally:
        for generator, state in own:
            generator.set_state(state)
