"""Networks of which only a part is trained, the rest kept as it was drawn."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bnlab import layers

BATCH_NORMS = tuple(
    getattr(library, f"BatchNorm{dimensions}d")
    for library in (nn, layers)
    for dimensions in (1, 2, 3)
)
PARTS = ("all", "gamma and beta", "output", "random weights")

Model = TypeVar("Model", bound=nn.Sequential)


class Sparse(nn.Module):
    r"""A parametrization that lets only some entries of a weight move.

    .. math::
        w_i = \begin{cases} v_i & \text{if } chosen_i \\ w^0_i & \text{otherwise} \end{cases}

    Args:
        start: :math:`w^0`, what the other entries stay at.
        chosen: Which entries follow the trained values :math:`v`.

    Shape:
        - start, chosen, input and output: alike

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> chosen = torch.tensor([[True, False]])
        >>> _ = parametrize.register_parametrization(
        ...     layer, "weight", Sparse(layer.weight.detach().clone(), chosen)
        ... )
        >>> layer(torch.ones(1, 2)).sum().backward()
        >>> layer.parametrizations.weight.original.grad
        tensor([[1., 0.]])
    """

    start: Tensor
    chosen: Tensor

    def __init__(self, start: Tensor, chosen: Tensor) -> None:
        super().__init__()
        self.register_buffer("start", start)
        self.register_buffer("chosen", chosen)

    def forward(self, trained: Tensor) -> Tensor:
        """Return the trained entries among the others."""
        return torch.where(self.chosen, trained, self.start)


def find_batch_norms(model: nn.Module) -> list[Any]:
    """Return the batch norm layers that have gamma and beta, torch's and ours, in order.

    Args:
        model: Whose modules are looked through.

    Raises:
        ValueError: There is none.

    Example:
        >>> [norm.num_features for norm in find_batch_norms(nn.Sequential(nn.BatchNorm1d(3)))]
        [3]
    """
    norms = [m for m in model.modules() if isinstance(m, BATCH_NORMS) and m.affine]
    if not norms:
        raise ValueError("the model has no batch norm with gamma and beta: build it with one")
    return norms


def train_only(model: Model, part: str) -> Model:
    """Freeze all of `model` but one part, and return it.

    Args:
        model: With batch norm layers, linear layers and, as its last module, a linear output.
            Changed in place.
        part: 'all'; 'gamma and beta', those of the norms; 'output', the last layer; or
            'random weights', as many entries of the linear layers' weights as there are gammas and
            betas, drawn by torch's global generator.

    Raises:
        ValueError: There is no such part, or the model has no batch norm to count by.

    Example:
        >>> from bnlab.models import mlp
        >>> for part in PARTS:
        ...     print(part, count_trained(train_only(mlp(64, nn.BatchNorm1d), part)))
        all 17610
        gamma and beta 384
        output 650
        random weights 384

    Frankle, Schwab & Morcos, "Training BatchNorm and Only BatchNorm" (2021):
    https://arxiv.org/abs/2003.00152
    """
    if part not in PARTS:
        raise ValueError(f"part is one of {', '.join(PARTS)}, but is {part!r}")
    norms = [parameter for norm in find_batch_norms(model) for parameter in norm.parameters()]
    if part == "all":
        return model
    model.requires_grad_(False)
    if part == "random weights":
        _train_entries(model, sum(p.numel() for p in norms))
    for parameter in {"gamma and beta": norms, "output": model[-1].parameters()}.get(part, ()):
        parameter.requires_grad_()
    return model


def count_trained(model: nn.Module) -> int:
    """Count the numbers that training can change.

    Args:
        model: Perhaps one that `train_only` has frozen in part.

    Example:
        >>> count_trained(nn.Linear(3, 2))
        8
    """
    chosen = {id(p): p.numel() for p in model.parameters() if p.requires_grad}
    for module in model.modules():
        if isinstance(module, parametrize.ParametrizationList) and isinstance(module[0], Sparse):
            chosen[id(module.original)] = int(module[0].chosen.sum())
    return sum(chosen.values())


def _train_entries(model: nn.Module, count: int) -> None:
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    sizes = [linear.weight.numel() for linear in linears]
    drawn = torch.zeros(sum(sizes), dtype=torch.bool)
    drawn[torch.randperm(len(drawn))[:count]] = True
    for linear, part in zip(linears, drawn.split(sizes), strict=True):
        sparse = Sparse(linear.weight.detach().clone(), part.view_as(linear.weight))
        linear.weight.requires_grad_()
        parametrize.register_parametrization(linear, "weight", sparse)
