"""A statistic for each line of a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from bnlab.functional.layouts import Layout, sum_of_squares


class Lines(Layout):
    """`(lines, cells)`: a statistic covers a line, and each cell of it has its own parameters.

    Layer norm, and RMS norm, which takes no mean off.
    """

    dim = (1,)
    along = 0
    block_share = 2

    def __init__(
        self, input: Tensor, normalized_shape: Sequence[int], centred: bool = True
    ) -> None:
        self.size = prod(normalized_shape)
        self.lines = input.numel() // max(1, self.size)
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
        return torch.stack(gradients).sum(0) if len(gradients) > 1 else gradients[0]

    def mean(self, values: Tensor) -> Tensor:
        return values.mean(-1)

    def mean_square(self, values: Tensor) -> Tensor:
        return sum_of_squares(values).div_(self.size)

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
