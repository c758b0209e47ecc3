"""A large batch, normalised in small groups on purpose."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from bnlab.models.partial import find_batch_norms

Model = TypeVar("Model", bound=nn.Module)


class GhostBatches(nn.Module):
    r"""Normalises each `size` samples of a batch by their own statistics, in train mode.

    .. math::
        \hat x_i = \frac{x_i - \mu_{g(i)}}{\sqrt{\sigma_{g(i)}^2 + \epsilon}},
        \qquad g(i) = \lfloor i / size \rfloor

    The running statistics see the groups one after the other. In eval mode there are no groups.

    Args:
        norm: A batch norm, whose parameters and running statistics are used.
        size: Samples in a group; the last group may have fewer.

    Shape:
        - input and output: as `norm` takes them

    Raises:
        ValueError: `size` is below 1.

    Example:
        >>> ghost = GhostBatches(nn.BatchNorm1d(1), 2)
        >>> ghost(torch.tensor([[0.0], [1.0], [5.0], [7.0]])).round().flatten().tolist()
        [-1.0, 1.0, -1.0, 1.0]

    Hoffer, Hubara & Soudry, "Train longer, generalize better" (2017), algorithm 1:
    https://arxiv.org/abs/1705.08741
    """

    def __init__(self, norm: nn.Module, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size is a number of samples, at least 1, but is {size}")
        self.norm, self.size = norm, size

    def forward(self, input: Tensor) -> Tensor:
        """Normalise group by group, or in eval mode all alike."""
        groups = input.split(self.size) if self.training else (input,)
        return torch.cat([self.norm(group) for group in groups])

    def extra_repr(self) -> str:
        """Say how large the groups are."""
        return f"size={self.size}"


def in_ghost_batches(model: Model, size: int) -> Model:
    """Return a copy of `model` whose batch norms work in groups of `size` samples.

    Args:
        model: With batch norms, none of which is the model itself.
        size: Samples in a group.

    Raises:
        ValueError: `model` has no batch norm.

    Example:
        >>> from bnlab.models import two_layer
        >>> ghostly = in_ghost_batches(two_layer(nn.BatchNorm1d), 4)
        >>> ghostly.norm1.size, ghostly.norm2.norm.num_features
        (4, 5)
    """
    ghostly = copy.deepcopy(model)
    norms = {id(norm) for norm in find_batch_norms(ghostly)}
    for module in list(ghostly.modules()):
        for name, child in module.named_children():
            if id(child) in norms:
                setattr(module, name, GhostBatches(child, size))
    return ghostly
