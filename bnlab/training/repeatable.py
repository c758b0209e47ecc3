"""Training that gives the same on every machine, also where it is chaotic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.data import Dataset, Split
from bnlab.training.history import History
from bnlab.training.loop import fit

DECIMALS = 6
"""Weights are kept to so many decimals: far coarser than float64's errors, fine for training."""


def fit_repeatably(
    build: Callable[[], nn.Module], data: Dataset, *, seed: int = 0, **settings: Any
) -> tuple[nn.Module, History]:
    r"""Build a model, train it with `fit`, and return both: the same on any machine.

    Processors round the last bits differently, and a chaotic training, such as batch normalisation
    on batches of two, makes whole digits of them. So everything is computed in float64, and after
    each step the weights are rounded to six decimals, which ends its errors there.

    .. math::
        w \leftarrow 10^{-6} \operatorname{round}(10^6 w)

    Args:
        build: Makes the model, drawing its weights in the default dtype.
        data: What to train and test on; taken to float64.
        seed: Of the weights and of all that `fit` draws.
        **settings: Further arguments of `fit`, except `on_step`.

    Shape:
        - inputs: :math:`(N, *)`, whatever the model takes
        - targets: :math:`(N)`, int64

    Raises:
        ValueError: As `fit` raises it.

    Example:
        >>> from bnlab import data, models
        >>> model, history = fit_repeatably(
        ...     lambda: models.mlp(64), data.digits(flat=True), epochs=1, progress=False
        ... )
        >>> weight = model.output.weight
        >>> weight.dtype, torch.equal(weight, weight.round(decimals=DECIMALS))
        (torch.float64, True)

    Not a proof: where a weight lies within an error of the middle between two roundings, machines
    may still part ways. In float64 that is rare.
    """
    model = build_exactly(build, seed)
    weights = [weight for weight in model.parameters() if weight.requires_grad]

    def round_weights(*_: object) -> None:
        for weight in weights:
            round_(weight)

    round_weights()
    return model, fit(model, exactly(data), seed=seed, on_step=round_weights, **settings)


def build_seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a model whose weights the seed decides."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return build()


def build_exactly(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build it in float64."""
    with _default_dtype(torch.float64):
        return build_seeded(build, seed).double()


def exactly(data: Dataset) -> Dataset:
    """The same data in float64."""
    train, test = (Split(s.inputs.double(), s.targets) for s in (data.train, data.test))
    return Dataset(train, test, data.classes)


@torch.no_grad()
def round_(weight: Tensor) -> Tensor:
    """Round to `DECIMALS`, in place: what `Tensor.round_(decimals=...)` does, in half the time."""
    return weight.mul_(10**DECIMALS).round_().div_(10**DECIMALS)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
