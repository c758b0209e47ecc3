"""How the cells that share a statistic lie in memory, and the quickest passes over them.

A layout views an input as a matrix or a stack of planes and needs sums, products and broadcasts
only. Which of them are quick depends on the layout: torch adds up neighbours fastest one dimension
at a time, and a fused `addcmul` beats a product and a sum only where the factor changes from each
cell to the next. Where several passes follow each other, large inputs go through in blocks that
stay in cache.

Each layout writes the same two formulas; a sum runs over the `size` cells that share a statistic:

    transform   y = rstd w (x - mean) + b = scale x + shift
    backward    dx = rstd w g - rstd x_hat sum(w g x_hat) / size - rstd sum(w g) / size
                   = scale g + along x + shift
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from bnlab.functional.arithmetic import constant

BLOCK = 3 << 19  # cells of all views together, in float32 6 MiB of cache
RUN = 1024  # cells


class Layout(ABC):
    """Cells grouped by the statistic they share, which broadcasts to a view of them."""

    dim: tuple[int, ...]
    """The dimensions of a view that one statistic covers."""
    size: int
    """The number of cells that one statistic covers."""
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
        values = values if weight is None else values * self.expand(weight)
        return values if bias is None else values + self.expand(bias)

    def mean(self, values: Tensor) -> Tensor:
        """Average the cells of each statistic."""
        return self.per_cell(self.sum(values))

    def mean_square(self, values: Tensor) -> Tensor:
        """Average the squares of the cells of each statistic."""
        return self.per_cell(self.square_sum(values))

    @abstractmethod
    def sum(self, values: Tensor) -> Tensor:
        """Add up the cells of each statistic."""

    @abstractmethod
    def square_sum(self, values: Tensor) -> Tensor:
        """Add up the squares of the cells of each statistic."""

    def per_cell(self, sums: Tensor) -> Tensor:
        """Divide sums by the number of their cells, in place."""
        return sums.div_(constant(self.size, sums.dtype))

    def share(self, scale: Tensor) -> Tensor:
        """Return `-scale / size`: what a sum over the cells takes from the gradient of each."""
        return scale / constant(-self.size, scale.dtype)

    def expand(self, parameter: Tensor) -> Tensor:
        """Shape a parameter, or one value a channel, so that it broadcasts with the statistics."""
        return parameter

    def pieces(self, *views: Any) -> Iterable[tuple[Any, ...]]:
        """Cut what is to be transformed: into blocks, unless one pass does it."""
        return blocks(*views)

    @abstractmethod
    def transform(
        self,
        values: Tensor,
        mean: Tensor | None,
        rstd: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        out: Tensor,
    ) -> None:
        """Write `rstd * weight * (values - mean) + bias` to `out`, with expanded parameters.

        Without a mean `values` are centred, or need not be; then `out` may be `values`.
        """

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
        """Write the gradient of the input to `out`; return those of weight and bias, flat.

        `values` are the input and `mean` its mean, or `values` are centred and `mean` is None.
        """


def blocks(*views: Any) -> Iterable[tuple[Any, ...]]:
    """Cut views along their last dimension but one, so that a block of each stays in cache.

    None, and what has one dimension only, goes with every block.
    """
    count = round(sum(0 if view is None else view.numel() for view in views) / BLOCK)
    if count <= 1:
        return (views,)
    # Of equal length: a short last one would cost as many calls.
    step = -(-views[0].shape[-2] // count)
    cut = [
        repeat(view) if view is None or view.dim() == 1 else view.split(step, -2) for view in views
    ]
    return zip(*cut, strict=False)


def joined(parts: tuple[Any, ...]) -> Any:
    """Put what was found block by block together again."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def shifted(bias: Tensor | None, mean: Tensor | None, scale: Tensor) -> Tensor | None:
    """Return `bias - mean * scale`, what is added to `values * scale`."""
    if mean is None:
        return bias
    return mean * -scale if bias is None else torch.addcmul(bias, mean, scale, value=-1)


def sum_of_squares(values: Tensor) -> Tensor:
    """Add up the squares along the last dimension, which stays.

    `vector_norm` is the quickest way, but it adds one square after the other, and so it rounds as
    often: it gets no more than `RUN` of them at a time, in runs of one length where there is one.
    """
    cells = values.shape[-1]
    if cells <= RUN:
        norms: Tensor = torch.linalg.vector_norm(values, dim=-1, keepdim=True)
        return norms.square_()
    fewest = -(-cells // RUN)
    for runs in range(fewest, 4 * fewest):
        if cells % runs == 0:
            return sum_of_squares(values.unflatten(-1, (runs, -1))).sum(-2)
    whole = cells // RUN * RUN
    return sum_of_squares(values[..., :whole]).add_(sum_of_squares(values[..., whole:]))
