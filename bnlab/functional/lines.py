"""A statistic for each line of a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from bnlab.functional.layouts import Layout, blocks, sum_of_squares


class Lines(Layout):
    """`(lines, cells)`: a statistic covers a line, and each cell of it has its own parameters.

    Layer norm, and RMS norm, which takes no mean off.
    """

    dim = (1,)

    def __init__(
        self, input: Tensor, normalized_shape: Sequence[int], centred: bool = True
    ) -> None:
        self.size = prod(normalized_shape)
        self.lines = input.numel() // max(1, self.size)
        self.centred = centred

    def view(self, input: Tensor) -> Tensor:
        return input.reshape(self.lines, self.size)

    def expand(self, parameter: Tensor) -> Tensor:
        return parameter if parameter.dim() == 1 else parameter.flatten()

    def sum(self, values: Tensor) -> Tensor:
        return values.sum(-1, keepdim=True)

    def square_sum(self, values: Tensor) -> Tensor:
        return sum_of_squares(values)

    def transform(
        self,
        values: Tensor,
        mean: Tensor | None,
        rstd: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        out: Tensor,
    ) -> None:
        if mean is None:
            torch.mul(values, rstd, out=out)
        else:
            torch.sub(values, mean, out=out).mul_(rstd)
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
        gradients = [
            self._backward(*block) for block in blocks(grad, values, mean, rstd, weight, out)
        ]
        grad_weight, grad_bias = (
            parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)
            for parts in zip(*gradients, strict=True)
        )
        return grad_weight, grad_bias

    def _backward(
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
            grad_bias, grad_weight = grad.sum(0), rstd.squeeze(-1) @ out
            along, shift = out @ ones.unsqueeze(-1), grad @ ones.unsqueeze(-1)
            if mean is not None:
                grad_weight.sub_((mean * rstd).squeeze(-1) @ grad)
                along.addcmul_(mean, shift, value=-1)
        share = self.share(rstd)
        along.mul_(rstd.square().mul_(share))
        torch.mul(grad, rstd, out=out)
        if weight is not None:
            out.mul_(weight)
        out.add_(values * along)
        if self.centred:
            shift.mul_(share)
            if mean is not None:
                shift.addcmul_(mean, along, value=-1)
            out.add_(shift)
        return grad_weight, grad_bias
