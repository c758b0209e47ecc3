"""Training that gives the same on every machine, also where it is chaotic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from bnlab.data import Dataset, Split
from bnlab.training import History, fit

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
    with torch.random.fork_rng(devices=[]), _default_dtype(torch.float64):
        torch.default_generator.manual_seed(seed)
        model = build()
    weights = [weight for weight in model.parameters() if weight.requires_grad]

    @torch.no_grad()
    def round_weights(*_: object) -> None:
        for weight in weights:
            weight.round_(decimals=DECIMALS)

    round_weights()
    exact = Dataset(_exact(data.train), _exact(data.test), data.classes)
    return model, fit(model, exact, seed=seed, on_step=round_weights, **settings)


def _exact(split: Split) -> Split:
    return Split(split.inputs.double(), split.targets)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
