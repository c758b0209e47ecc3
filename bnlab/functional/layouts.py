"""How the cells that share a statistic lie in memory, and the quickest passes over them.

A layout views an input as a matrix or a stack of planes and needs sums, products and broadcasts
only. Which of them are quick depends on the layout: torch adds up neighbours fastest one dimension
at a time, and a fused `addcmul` beats a product and a sum only where the factor changes from each
cell to the next. Large inputs go through in blocks that stay in cache.

Each layout writes the same two formulas; a sum runs over the `size` cells that share a statistic:

    transform   y = rstd w (x - mean) + b
    backward    dx = rstd w g - rstd x_hat sum(w g x_hat) / size - rstd sum(w g) / size
                   = rstd w g + along x + shift
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

BLOCK = 1 << 20  # cells: a few blocks of float32 fit into some 16 MiB of cache
RUN = 4096  # cells

Block = tuple[Any, ...]
"""Which statistics a block has (a slice, or None for all), and its share of each view."""


class Layout(ABC):
    """Cells grouped by the statistic they share."""

    dim: tuple[int, ...]
    """The dimensions of a view that one statistic covers."""
    size: int
    """The number of cells that one statistic covers."""
    along: int | None = None
    """The dimension of a view that is cut into blocks, if any."""
    block_share = 1
    """A block has this share of `BLOCK` cells: 2 for half of them."""
    centred = True
    """Whether the mean is taken off."""
    memory_format = torch.contiguous_format

    @abstractmethod
    def view(self, input: Tensor) -> Tensor:
        """Group the cells of an input: a copy only where its strides leave no other way."""

    def empty(self, input: Tensor) -> Tensor:
        """Make room for an output, of which a view is no copy."""
        dtype = torch.promote_types(input.dtype, torch.float32)
        return torch.empty_like(input, dtype=dtype, memory_format=self.memory_format)

    def unview(self, values: Tensor, shape: torch.Size) -> Tensor:
        """Bring a view back into the shape of the input."""
        return values.view(shape)

    def affine(self, values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        """Multiply a view by `weight` and add `bias`, differentiably."""
        values = values if weight is None else values * weight
        return values if bias is None else values + bias

    def expand(self, parameter: Tensor) -> Tensor:
        """Repeat a parameter where it recurs, so that it can be cut like the statistics."""
        return parameter

    def cut(self, expanded: Tensor | None, at: slice | None) -> Tensor | None:  # noqa: ARG002
        """Take a block's share of an expanded parameter."""
        return expanded

    def collapse(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """Join the blocks' gradients of an expanded parameter to the parameter's gradient."""
        return gradients[0]

    def blocks(self, *views: Tensor) -> Iterator[Block]:
        """Cut views into blocks of whole statistics, and say which statistics these are."""
        step = BLOCK // self.block_share // (self.size or 1) or 1
        if self.along is None or step >= views[0].shape[self.along]:
            yield None, *views
            return
        cut = zip(*[view.split(step, self.along) for view in views], strict=True)
        for place, block in enumerate(cut):
            yield slice(place * step, (place + 1) * step), *block

    @abstractmethod
    def mean(self, values: Tensor) -> Tensor:
        """Average the cells of each statistic."""

    @abstractmethod
    def mean_square(self, values: Tensor) -> Tensor:
        """Average the squares of the cells of each statistic."""

    def spread(self, statistic: Tensor) -> Tensor:
        """Shape one value a statistic so that it broadcasts to a view."""
        return statistic.unsqueeze(-1)

    @abstractmethod
    def transform(
        self, values: Tensor, rstd: Tensor, weight: Tensor | None, bias: Tensor | None, out: Tensor
    ) -> None:
        """Write `rstd * weight * values + bias` to `out`, which may be `values`."""

    @abstractmethod
    def backward(
        self,
        grad: Tensor,
        values: Tensor,
        mean: Tensor | None,
        rstd: Tensor,
        weight: Tensor | None,
        out: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Write the gradient of the input to `out`; return those of weight and bias.

        `values` are the input and `mean` its mean, or `values` are centred and `mean` is None.
        """


def sum_of_squares(values: Tensor) -> Tensor:
    """Add up the squares along the last dimension.

    `vector_norm` is the quickest way, but it adds one square after the other, and so it rounds as
    often: it gets no more than `RUN` of them at a time.
    """
    cells = values.shape[-1]
    if cells <= RUN:
        norms: Tensor = torch.linalg.vector_norm(values, dim=-1)
        return norms.square_()
    whole = cells // RUN * RUN
    squares = sum_of_squares(values[..., :whole].unflatten(-1, (-1, RUN))).sum(-1)
    return squares.add_(sum_of_squares(values[..., whole:]))
