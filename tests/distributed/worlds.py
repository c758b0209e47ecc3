"""Groups of real processes that call one function each, and what they are given to call."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import product
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

import bnlab
from tests.checkpoint.children import Children

STEPS = 2


class World:
    """Processes that know each other; forked, so that none of them imports torch."""

    def __init__(self, interpreter: Children, size: int, store: Path) -> None:
        self.interpreter, self.size, self.store = interpreter, size, store
        self.pids: list[int] = []

    def start(self, function: FunctionType, *arguments: object, timeout: float = 60) -> None:
        """Call `function(rank, *arguments)` in each process."""
        source = function.__code__.co_filename
        for rank in range(self.size):
            meeting = (rank, self.size, str(self.store), timeout)
            self.pids.append(
                self.interpreter.start(join, meeting, source, function.__name__, arguments)
            )

    def results(self) -> list[Any]:
        """What each process returned, by rank."""
        return [self.interpreter.wait(pid) for pid in self.pids]

    def call(self, function: FunctionType, *arguments: object) -> list[Any]:
        self.start(function, *arguments)
        return self.results()


def join(
    meeting: tuple[int, int, str, float], source: str, name: str, arguments: tuple[object, ...]
) -> Any:
    """Become one of the processes, and call a function of the tests by its name."""
    import importlib

    rank, size, store, timeout = meeting
    dist.init_process_group(
        "gloo",
        store=dist.FileStore(store, size),
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=timeout),
    )
    module = importlib.import_module(f"tests.distributed.{Path(source).stem}")
    try:
        return getattr(module, name)(rank, *arguments)
    finally:
        dist.destroy_process_group()


@dataclass(frozen=True)
class Case:
    """A batch norm, what goes into it, and how that is shared out."""

    shares: tuple[int, ...]
    shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float64
    shift: float = 0.0

    def inputs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All processes' samples of each step, and the gradients that come back to the outputs."""
        generator = torch.Generator().manual_seed(sum(self.shares) + len(self.shape))
        for _ in range(STEPS):
            batch, upstream = (
                torch.randn(sum(self.shares), *self.shape, generator=generator, dtype=torch.double)
                for _ in range(2)
            )
            # Unlike each other's, the processes' shares make unlike statistics.
            batch *= torch.linspace(0.5, 2, len(batch)).view(-1, *[1] * len(self.shape))
            yield (batch + self.shift).to(self.dtype), upstream.to(self.dtype)

    def layer(self, kind: type[nn.Module]) -> Any:
        layer = kind(self.shape[0], **{"dtype": self.dtype, **self.options})
        with torch.no_grad():
            for parameter, start in zip(layer.parameters(), (0.5, -1.0), strict=False):
                parameter.copy_(torch.linspace(start, start + 1, len(parameter)))
        return layer


def run_layer(layer: Any, steps: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Some training steps and one in eval mode: everything that comes of them, by name."""
    found: dict[str, Tensor] = {}
    outputs, gradients = [], []
    for batch, upstream in steps:
        leaf = batch.clone().requires_grad_()
        outputs.append(layer(leaf))
        outputs[-1].backward(upstream)
        gradients.append(leaf.grad)
    found["outputs"] = torch.cat([output.detach() for output in outputs], 1)
    found["input gradients"] = torch.cat(gradients, 1)
    for name, parameter in layer.named_parameters():
        found[f"{name} gradient"] = parameter.grad
    found |= dict(layer.named_buffers())
    with torch.no_grad():
        found["in eval mode"] = layer.eval()(steps[0][0])
    return copy.deepcopy(found)


def run_share(rank: int, case: Case) -> dict[str, Tensor]:
    """What one process finds, of its own samples."""
    first = sum(case.shares[:rank])
    own = slice(first, first + case.shares[rank])
    steps = [(batch[own], upstream[own]) for batch, upstream in case.inputs()]
    return run_layer(case.layer(bnlab.SyncBatchNorm), steps)


def run_shares(rank: int, cases: list[Case]) -> list[dict[str, Tensor]]:
    return [run_share(rank, case) for case in cases]


def shares_of(size: int) -> dict[str, tuple[int, ...]]:
    """Twelve samples: alike, unlike, and so that one process gets none."""
    others = 12 - 2 * (size - 2)
    return {
        "even": (12 // size,) * size,
        "uneven": (others - 3, *[2] * (size - 2), 3),
        "one empty": (others, *[2] * (size - 2), 0),
    }


OPTIONS: dict[str, dict[str, Any]] = {
    "affine": {},
    "not affine": {"affine": False},
    "momentum None": {"momentum": None},
    "no tracking": {"track_running_stats": False},
}
SHAPES = ((3,), (3, 5), (3, 4, 2))


def cases_of(size: int) -> dict[str, Case]:
    """Every combination, by what it is."""
    return {
        f"{share}, {len(shape) + 1}D, {option}": Case(shares, shape, options)
        for (share, shares), shape, (option, options) in product(
            shares_of(size).items(), SHAPES, OPTIONS.items()
        )
    }
