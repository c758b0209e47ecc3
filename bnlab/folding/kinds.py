"""The layers that can take a norm in, and what is left in the norm's place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bnlab import layers
from bnlab.distributed import SyncBatchNorm

LINEAR: tuple[type[nn.Module], ...] = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


# And of how many dimensions a norm's input is. No subclasses of either: they may do more.
NORMS: dict[type[nn.Module], tuple[int, ...]] = {
    norm: dimensions
    for library in (nn, layers)
    for norm, dimensions in (
        (library.BatchNorm1d, (2, 3)),
        (library.BatchNorm2d, (4,)),
        (library.BatchNorm3d, (5,)),
    )
} | dict.fromkeys((nn.SyncBatchNorm, SyncBatchNorm), (2, 3, 4, 5))


class Folded(nn.Identity):
    """Pass the input on: what the norm that stood here did, the layer before it does.

    It refuses what the norm would have refused, or would have read otherwise: a linear layer's
    output of three dimensions has its features last, and `BatchNorm1d` normalises the second.

    Args:
        into: Name of the layer that does it.
        dimensions: Of the input.

    Example:
        >>> Folded("conv1", 4)
        Folded(into='conv1')
    """

    def __init__(self, into: str, dimensions: int) -> None:
        super().__init__()
        self.into, self.dimensions = into, dimensions
        self.refusal = f"the norm that was folded into {into} took input of {dimensions} dimensions"

    def forward(self, input: Tensor) -> Tensor:
        torch._assert(input.dim() == self.dimensions, self.refusal)
        return input

    def extra_repr(self) -> str:
        return f"into={self.into!r}"


def dimensions_of(layer: nn.Module) -> int:
    """Return the number of dimensions of a batch of outputs."""
    if isinstance(layer, nn.Linear):
        return 2
    return next(n for n in (1, 2, 3) if type(layer).__name__.endswith(f"{n}d")) + 2


def fits(norm: Any, layer: Any) -> bool:
    """Tell whether the norm takes a batch of the layer's outputs, channel for channel."""
    taken = NORMS[type(norm)]
    outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    return dimensions_of(layer) in taken and bool(outputs == norm.num_features)


def pads(layer: Any) -> bool:
    """Tell whether a convolution surrounds its input with zeros."""
    convolution = isinstance(layer, LINEAR) and not isinstance(layer, nn.Linear)
    # A tuple of numbers, 'valid' or 'same'.
    return convolution and layer.padding != "valid" and any(layer.padding)
