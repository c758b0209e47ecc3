"""Networks of which only a part is trained, the rest kept as it was drawn."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from bnlab import layers

BATCH_NORMS = tuple(
    getattr(library, f"BatchNorm{dimensions}d")
    for library in (nn, layers)
    for dimensions in (1, 2, 3)
)
PARTS = ("all", "gamma and beta", "output", "random weights")

Model = TypeVar("Model", bound=nn.Sequential)


class PartlyLinear(nn.Linear):
    r"""A linear layer that lets only some entries of its weight move.

    .. math::
        y = x A^T + b, \qquad
        A_{ij} = \begin{cases} weight_{ij} & \text{if } chosen_{ij} \\
        start_{ij} & \text{otherwise} \end{cases}

    Args:
        layer: Whose weight and bias it takes over.
        chosen: Which entries follow `weight`; the others stay as they are now.

    Shape:
        - chosen: as `layer.weight`, bool
        - input: :math:`(*, in\_features)`; output: :math:`(*, out\_features)`

    Example:
        >>> layer = PartlyLinear(nn.Linear(2, 1), torch.tensor([[True, False]]))
        >>> layer(torch.ones(1, 2)).sum().backward()
        >>> layer.weight.grad
        tensor([[1., 0.]])
    """

    start: Tensor
    chosen: Tensor

    def __init__(self, layer: nn.Linear, chosen: Tensor) -> None:
        # On no device, so that nothing is drawn for weights that are replaced at once.
        super().__init__(layer.in_features, layer.out_features, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.register_buffer("start", layer.weight.detach().clone())
        self.register_buffer("chosen", chosen)

    def forward(self, input: Tensor) -> Tensor:
        """Use the trained entries among the others."""
        return linear(input, torch.where(self.chosen, self.weight, self.start), self.bias)


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
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    partly = [module for module in model.modules() if isinstance(module, PartlyLinear)]
    return count - sum(int((~module.chosen).sum()) for module in partly)


def _train_entries(model: nn.Module, count: int) -> None:
    linears = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    sizes = [layer.weight.numel() for layer in linears.values()]
    drawn = torch.zeros(sum(sizes), dtype=torch.bool)
    drawn[torch.randperm(len(drawn))[:count]] = True
    for (name, layer), part in zip(linears.items(), drawn.split(sizes), strict=True):
        layer.weight.requires_grad_()
        model.set_submodule(name, PartlyLinear(layer, part.view_as(layer.weight)))
