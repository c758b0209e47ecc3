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
from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import Tensor

from bnlab.functional.arithmetic import CHANNELS_LAST

BLOCK = 1 << 20  # cells: a few blocks of float32 fit into some 16 MiB of cache
RUN = 4096  # cells


class Layout(ABC):
    """Cells grouped by the statistic they share."""

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
        values = values if weight is None else values * weight
        return values if bias is None else values + bias

    def expand(self, parameter: Tensor) -> Tensor:
        """Repeat a parameter where it recurs, so that it can be cut like the statistics."""
        return parameter

    def cut(self, expanded: Tensor | None, at: slice) -> Tensor | None:  # noqa: ARG002
        """Take a block's share of an expanded parameter."""
        return expanded

    def collapse(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """Join the blocks' gradients of an expanded parameter to the parameter's gradient."""
        return gradients[0]

    @abstractmethod
    def blocks(self, *views: Tensor) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
        """Cut views into blocks of whole statistics, and say which statistics these are."""

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


class Columns(Layout):
    """`(rows, columns)`: statistics and parameters belong to a column.

    Batch norm of vectors, and of images in channels-last memory.
    """

    dim = (0,)

    def __init__(self, input: Tensor) -> None:
        self.columns = input.shape[1]
        if input.dim() > 3:
            self.memory_format = CHANNELS_LAST[input.dim()]
        self.size = input.shape[0] * input.shape[2:].numel()
        self.rows = max(1, BLOCK // 8 // max(1, self.columns))

    def view(self, input: Tensor) -> Tensor:
        return input if input.dim() == 2 else input.movedim(1, -1).reshape(self.size, self.columns)

    def unview(self, values: Tensor, shape: torch.Size) -> Tensor:
        if len(shape) == 2:
            return values
        return values.view(shape[0], *shape[2:], shape[1]).movedim(-1, 1)

    def blocks(self, *views: Tensor) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
        yield slice(None), views

    def spread(self, statistic: Tensor) -> Tensor:
        return statistic

    def mean(self, values: Tensor) -> Tensor:
        return values.mean(0)

    def mean_square(self, values: Tensor) -> Tensor:
        if values.shape[0] <= self.rows:
            return values.square().mean(0)
        return self._dot(values, values).div_(self.size)

    def transform(
        self, values: Tensor, rstd: Tensor, weight: Tensor | None, bias: Tensor | None, out: Tensor
    ) -> None:
        scale = rstd if weight is None else rstd * weight
        if bias is None:
            torch.mul(values, scale, out=out)
        else:
            torch.addcmul(bias, values, scale, out=out)

    def backward(
        self,
        grad: Tensor,
        values: Tensor,
        mean: Tensor | None,
        rstd: Tensor,
        weight: Tensor | None,
        out: Tensor,
    ) -> tuple[Tensor, Tensor]:
        grad_bias = grad.sum(0)
        grad_weight = self._dot(grad, values)
        if mean is not None:
            grad_weight.addcmul_(mean, grad_bias, value=-1)
        grad_weight.mul_(rstd)
        scale = rstd if weight is None else rstd * weight
        along = (grad_weight * scale).mul_(rstd).div_(-self.size)
        shift = (grad_bias * scale).div_(-self.size)
        if mean is not None:
            shift.addcmul_(mean, along, value=-1)
        torch.addcmul(shift, values, along, out=out).addcmul_(grad, scale)
        return grad_weight, grad_bias

    def _dot(self, a: Tensor, b: Tensor) -> Tensor:
        if a.shape[0] <= self.rows:
            return (a * b).sum(0)
        blocks = zip(a.split(self.rows), b.split(self.rows), strict=True)
        return torch.stack([(one * other).sum(0) for one, other in blocks]).sum(0)


class Planes(Layout):
    """`(repeats, planes, cells)`: a statistic covers a plane in all repeats.

    For batch norm a plane is a channel, repeated in each sample. For instance and group norm it is
    a channel or a group of channels of one sample: the parameters recur from sample to sample.
    """

    dim = (0, 2)

    def __init__(self, input: Tensor, groups: int | None = None) -> None:
        samples, channels = input.shape[:2]
        repeats, self.recur = (samples, 1) if groups is None else (1, samples)
        groups = channels if groups is None else groups
        self.parts = channels // groups
        cells = self.parts * input.shape[2:].numel()
        self.shape = (repeats, self.recur * groups, cells)
        self.size = repeats * cells

    def view(self, input: Tensor) -> Tensor:
        return input.reshape(self.shape)

    def affine(self, values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        weight, bias = (
            None if parameter is None else self.expand(parameter).unsqueeze(-1)
            for parameter in (weight, bias)
        )
        return super().affine(self._channels(values), weight, bias).reshape(self.shape)

    def expand(self, parameter: Tensor) -> Tensor:
        return parameter.repeat(self.recur).view(-1, self.parts)

    def cut(self, expanded: Tensor | None, at: slice) -> Tensor | None:
        return None if expanded is None else expanded[at]

    def collapse(self, gradients: tuple[Tensor, ...]) -> Tensor:
        return torch.cat(gradients).view(self.recur, -1).sum(0)

    def blocks(self, *views: Tensor) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
        planes = max(1, BLOCK // max(1, self.size))
        for start in range(0, self.shape[1], planes):
            at = slice(start, start + planes)
            yield at, tuple(view[:, at] for view in views)

    def mean(self, values: Tensor) -> Tensor:
        return values.sum(-1).sum(0).div_(self.size)

    def mean_square(self, values: Tensor) -> Tensor:
        return _sum_of_squares(values).sum(0).div_(self.size)

    def transform(
        self, values: Tensor, rstd: Tensor, weight: Tensor | None, bias: Tensor | None, out: Tensor
    ) -> None:
        scale = rstd.unsqueeze(-1) if weight is None else rstd.unsqueeze(-1) * weight
        channels = self._channels(out)
        torch.mul(self._channels(values), scale.unsqueeze(-1), out=channels)
        if bias is not None:
            channels.add_(bias.unsqueeze(-1))

    def backward(
        self,
        grad: Tensor,
        values: Tensor,
        mean: Tensor | None,
        rstd: Tensor,
        weight: Tensor | None,
        out: Tensor,
    ) -> tuple[Tensor, Tensor]:
        grads, products = self._channels(grad), self._channels(out)
        torch.mul(grads, self._channels(values), out=products)
        grad_bias, grad_weight = grads.sum(-1).sum(0), products.sum(-1).sum(0)
        if mean is not None:
            grad_weight.addcmul_(mean.unsqueeze(-1), grad_bias, value=-1)
        grad_weight.mul_(rstd.unsqueeze(-1))
        scale = rstd.unsqueeze(-1) if weight is None else rstd.unsqueeze(-1) * weight
        if self.parts == 1:
            # A whole plane has one weight, which all three terms share: no scratch is needed.
            along = (grad_weight * rstd.unsqueeze(-1)).div_(-self.size)
            shift = grad_bias / -self.size
            if mean is not None:
                shift.addcmul_(mean.unsqueeze(-1), along, value=-1)
            torch.mul(values, along, out=out).add_(grad).add_(shift).mul_(scale)
            return grad_weight, grad_bias
        along = (grad_weight * scale).sum(-1).mul_(rstd).div_(-self.size)
        shift = (grad_bias * scale).sum(-1).div_(-self.size)
        if mean is not None:
            shift.addcmul_(mean, along, value=-1)
        torch.mul(values, along.unsqueeze(-1), out=out).add_(shift.unsqueeze(-1))
        products.add_(grads * scale.unsqueeze(-1))
        return grad_weight, grad_bias

    def _channels(self, values: Tensor) -> Tensor:
        """The cells of each channel of each plane."""
        repeats, planes, cells = values.shape
        return values.reshape(repeats, planes, self.parts, cells // self.parts)


class Lines(Layout):
    """`(lines, cells)`: a statistic covers a line, and each cell of it has its own parameters.

    Layer norm, and RMS norm, which takes no mean off.
    """

    dim = (1,)

    def __init__(
        self, input: Tensor, normalized_shape: Sequence[int], centred: bool = True
    ) -> None:
        self.size = prod(normalized_shape)
        self.lines = prod(input.shape[: input.dim() - len(normalized_shape)])
        self.centred = centred

    def view(self, input: Tensor) -> Tensor:
        return input.reshape(self.lines, self.size)

    def affine(self, values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        weight, bias = (
            None if parameter is None else parameter.flatten() for parameter in (weight, bias)
        )
        return super().affine(values, weight, bias)

    def expand(self, parameter: Tensor) -> Tensor:
        return parameter.flatten()

    def collapse(self, gradients: tuple[Tensor, ...]) -> Tensor:
        return torch.stack(gradients).sum(0)

    def blocks(self, *views: Tensor) -> Iterator[tuple[slice, tuple[Tensor, ...]]]:
        lines = max(1, BLOCK // 2 // self.size)
        for start in range(0, views[0].shape[0], lines):
            at = slice(start, start + lines)
            yield at, tuple(view[at] for view in views)

    def mean(self, values: Tensor) -> Tensor:
        return values.mean(-1)

    def mean_square(self, values: Tensor) -> Tensor:
        return _sum_of_squares(values).div_(self.size)

    def transform(
        self, values: Tensor, rstd: Tensor, weight: Tensor | None, bias: Tensor | None, out: Tensor
    ) -> None:
        torch.mul(values, rstd.unsqueeze(-1), out=out)
        if weight is not None and bias is not None:
            torch.addcmul(bias, out, weight, out=out)
        elif weight is not None:
            out.mul_(weight)
        elif bias is not None:
            out.add_(bias)

    def backward(
        self,
        grad: Tensor,
        values: Tensor,
        mean: Tensor | None,
        rstd: Tensor,
        weight: Tensor | None,
        out: Tensor,
    ) -> tuple[Tensor, Tensor]:
        torch.mul(grad, values, out=out)
        ones = grad.new_ones(self.size) if weight is None else weight
        # Products with a vector do both kinds of sums: along the lines and across them.
        with torch.autocast(grad.device.type, enabled=False):
            grad_bias, grad_weight = grad.sum(0), rstd @ out
            along, shift = out @ ones, grad @ ones
            if mean is not None:
                grad_weight.sub_((mean * rstd) @ grad)
        if mean is not None:
            along.addcmul_(mean, shift, value=-1)
        along.mul_(rstd.pow(3)).div_(-self.size)
        shift.mul_(rstd).div_(-self.size)
        if mean is not None:
            shift.addcmul_(mean, along, value=-1)
        torch.mul(grad, rstd.unsqueeze(-1), out=out)
        if weight is not None:
            out.mul_(weight)
        out.add_(values * along.unsqueeze(-1))
        if self.centred:
            out.add_(shift.unsqueeze(-1))
        return grad_weight, grad_bias


def _sum_of_squares(values: Tensor) -> Tensor:
    """Add up the squares along the last dimension.

    `vector_norm` is the quickest way, but it adds one square after the other, and so it rounds as
    often: it gets no more than `RUN` of them at a time.
    """
    cells = values.shape[-1]
    if cells <= RUN:
        norms: Tensor = torch.linalg.vector_norm(values, dim=-1)
        return norms.square_()
    whole = cells // RUN * RUN
    squares = _sum_of_squares(values[..., :whole].unflatten(-1, (-1, RUN))).sum(-1)
    return squares.add_(_sum_of_squares(values[..., whole:]))
