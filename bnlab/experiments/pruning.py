"""Gamma as a measure of a unit's importance: press it down, rank by it, cut."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from bnlab.data import Split
from bnlab.models.partial import find_batch_norms
from bnlab.training import accuracy

ORDERS = ("smallest first", "at random", "largest first")

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True, eq=False)
class Pruned:
    """A trained network's gammas, and its accuracy with more and more units cut.

    Attributes:
        gamma: Absolute values in ascending order, (U).
        smallest: Accuracy for each share, the units of smallest gamma cut first, (P).
        random: The same, cut at random.
        largest: The same, the units of largest gamma cut first.
    """

    gamma: Tensor
    smallest: Tensor
    random: Tensor
    largest: Tensor


def penalise(model: Model, strength: float) -> Model:
    r"""Press the gammas of `model` towards zero in all training to come, and return it.

    .. math::
        L + strength \sum |\gamma|, \qquad
        \frac{\partial}{\partial\gamma} = \frac{\partial L}{\partial\gamma}
            + strength \cdot \operatorname{sign}(\gamma)

    Only the gradient is changed. A gamma is pressed to about zero and then trembles there, since
    each step carries it beyond: it does not become zero.

    Args:
        model: With batch norm layers.
        strength: At least 0.

    Raises:
        ValueError: `strength` is negative, or the model has no gamma.

    Example:
        >>> model = penalise(nn.Sequential(nn.BatchNorm1d(2)), 0.5)
        >>> model(torch.randn(8, 2)).sum().mul(0).backward()
        >>> model[0].weight.grad
        tensor([0.5000, 0.5000])

    Liu et al., "Learning Efficient Convolutional Networks through Network Slimming" (2017):
    https://arxiv.org/abs/1708.06519
    """
    if strength < 0:
        raise ValueError(f"strength is {strength}: choose 0 for no penalty, or a number above")
    for norm in find_batch_norms(model):
        gamma = norm.weight

        def press(gradient: Tensor, gamma: Tensor = gamma) -> Tensor:
            return gradient + strength * gamma.detach().sign()

        gamma.register_hook(press)
    return model


def prune(model: Model, share: float, order: str = "smallest first", seed: int = 0) -> Model:
    """Return a copy of `model` with that share of each norm's units silenced.

    A silenced unit has gamma and beta 0: it gives 0 whatever comes in, and so does a ReLU after
    it. Nothing becomes smaller by that; see `remove_silent`.

    Args:
        model: With batch norm layers.
        share: Of the units of each norm, from 0 to 1.
        order: 'smallest first', 'largest first' (by the absolute value of gamma, within each norm)
            or 'at random'.
        seed: Of that chance; the global generator stays as it is.

    Raises:
        ValueError: `share` is not from 0 to 1, there is no such order, or the model has no gamma.

    Example:
        >>> norm = nn.BatchNorm1d(4)
        >>> norm.weight.data = torch.tensor([0.1, -2.0, 0.0, 1.0])
        >>> prune(nn.Sequential(norm), 0.5)[0].weight.data
        tensor([ 0., -2.,  0.,  1.])
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is between 0 and 1, but is {share}")
    if order not in ORDERS:
        raise ValueError(f"order is one of {', '.join(ORDERS)}, but is {order!r}")
    pruned = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(seed)
    for norm in find_batch_norms(pruned):
        size = norm.weight.detach().abs()
        score = {
            "smallest first": size,
            "at random": torch.rand(len(size), generator=draw),
            "largest first": -size,
        }[order]
        units = score.argsort()[: round(share * len(score))]
        with torch.no_grad():
            norm.weight[units] = 0
            norm.bias[units] = 0
    return pruned


def remove_silent(model: nn.Sequential) -> nn.Sequential:
    """Return a smaller copy of `model` without its silent units, which answers alike.

    Their rows of the linear layer before the norm go, and their columns of the one after it.

    Args:
        model: A chain in which each batch norm stands between two linear layers, right after the
            first, with an activation that leaves 0 at 0.

    Raises:
        ValueError: A norm stands elsewhere, or has no unit left.

    Example:
        >>> from bnlab import models
        >>> smaller = remove_silent(prune(models.mlp(64, nn.BatchNorm1d), 0.75))
        >>> smaller.linear2
        Linear(in_features=32, out_features=16, bias=True)
    """
    smaller = copy.deepcopy(model)
    modules = list(smaller)
    for norm in find_batch_norms(smaller):
        place = modules.index(norm)
        before = modules[place - 1] if place else None
        after = next((m for m in modules[place:] if isinstance(m, nn.Linear)), None)
        if not isinstance(before, nn.Linear) or after is None:
            raise ValueError("a batch norm does not stand between two linear layers")
        kept = ((norm.weight != 0) | (norm.bias != 0)).nonzero().flatten()
        if len(kept) == 0:
            raise ValueError("a batch norm has no unit left: prune a smaller share")
        for module in (before, norm):
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.dim():
                    tensor.data = tensor.data[kept]
        after.weight.data = after.weight.data[:, kept]
        before.out_features = norm.num_features = after.in_features = len(kept)
    return smaller


def prune_stepwise(
    model: nn.Module, split: Split, shares: Sequence[float], seed: int = 0
) -> Pruned:
    """Measure the accuracy on `split` for every share and every order of cutting.

    Args:
        model: Trained, with batch norm layers; left as it is.
        split: What the accuracy is measured on.
        shares: Of the units of each norm, as in `prune`.
        seed: Of the random order, the same for every share: who is cut stays cut.

    Raises:
        ValueError: As `prune` raises it.

    Example:
        >>> from bnlab import data, models
        >>> model = models.mlp(64, nn.BatchNorm1d)
        >>> prune_stepwise(model, data.digits(flat=True).test, [0, 1]).smallest.shape
        torch.Size([2])
    """
    gammas = torch.cat([norm.weight.detach().abs() for norm in find_batch_norms(model)])
    curves = [
        torch.tensor([accuracy(prune(model, share, order, seed), split) for share in shares])
        for order in ORDERS
    ]
    return Pruned(gammas.sort().values, *curves)
