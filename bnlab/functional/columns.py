"""A statistic for each column of a matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from bnlab.functional.arithmetic import CHANNELS_LAST
from bnlab.functional.layouts import Layout, blocks, shifted


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

    def view(self, input: Tensor) -> Tensor:
        return input if input.dim() == 2 else input.movedim(1, -1).reshape(self.size, self.columns)

    def unview(self, values: Tensor, shape: torch.Size) -> Tensor:
        if len(shape) == 2:
            return values
        return values.view(shape[0], *shape[2:], shape[1]).movedim(-1, 1)

    def pieces(self, *views: Any) -> Iterable[tuple[Any, ...]]:
        return (views,)

    def sum(self, values: Tensor) -> Tensor:
        return values.sum(0)

    def square_sum(self, values: Tensor) -> Tensor:
        return self._dot(values, values)

    def transform(
        self,
        values: Tensor,
        mean: Tensor | None,
        rstd: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        out: Tensor,
    ) -> None:
        scale = rstd if weight is None else rstd * weight
        shift = shifted(bias, mean, scale)
        if shift is None:
            torch.mul(values, scale, out=out)
        else:
            torch.addcmul(shift, values, scale, out=out)

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
        share = self.share(scale)
        along, shift = (grad_weight * rstd).mul_(share), grad_bias * share
        if mean is not None:
            shift.addcmul_(mean, along, value=-1)
        torch.addcmul(shift, values, along, out=out).addcmul_(grad, scale)
        return grad_weight, grad_bias

    def _dot(self, a: Tensor, b: Tensor) -> Tensor:
        pairs = list(blocks(a, b))
        if len(pairs) == 1:
            return (a * b).sum(0)
        # The first is the longest. Each writes where the one before has just been read.
        room = torch.empty_like(pairs[0][0])
        products = (torch.mul(*pair, out=room[: pair[0].shape[0]]) for pair in pairs)
        return torch.stack([product.sum(0) for product in products]).sum(0)
