"""A statistic for each plane of a stack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from bnlab.functional.layouts import Layout, blocks, joined, shifted, sum_of_squares

MANY = 16  # repeats: so often is a plane of factors used that to fill it costs little


class Planes(Layout):
    """`(repeats, planes, cells)`: a statistic covers a plane in all repeats, if it has any.

    For batch norm a plane is a channel, repeated in each sample. For instance and group norm it is
    a channel or a group of channels of one sample: the parameters recur from sample to sample.
    """

    def __init__(self, input: Tensor, groups: int | None = None) -> None:
        samples, channels = input.shape[:2]
        self.repeats, self.recur = (samples, 1) if groups is None else (1, samples)
        groups = channels if groups is None else groups
        self.parts = channels // groups
        cells = self.parts * input.shape[2:].numel()
        self.size = self.repeats * cells
        planes = self.recur * groups, cells
        self.shape = planes if self.repeats == 1 else (self.repeats, *planes)
        self.dim = (1,) if self.repeats == 1 else (0, 2)

    def view(self, input: Tensor) -> Tensor:
        return input.reshape(self.shape)

    def affine(self, values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        values = self._channels(values)
        if weight is not None:
            values = values * self._spread(self.expand(weight))
        if bias is not None:
            values = values + self._spread(self.expand(bias))
        return values.reshape(self.shape)

    def expand(self, parameter: Tensor) -> Tensor:
        if self.recur != 1:
            parameter = parameter.expand(self.recur, -1)
        return parameter.reshape(-1, self.parts)

    def pieces(self, *views: Any) -> Iterable[tuple[Any, ...]]:
        return (views,) if self.repeats >= MANY else blocks(*views)

    def sum(self, values: Tensor) -> Tensor:
        return self._over_repeats(values.sum(-1, keepdim=True))

    def square_sum(self, values: Tensor) -> Tensor:
        return self._over_repeats(sum_of_squares(values))

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
        if shift is not None and self.repeats >= MANY:
            shift, scale = _filled(values, shift, scale)
            torch.addcmul(shift, values, scale, out=out)
            return
        out = self._channels(out)
        torch.mul(self._channels(values), self._spread(scale), out=out)
        if shift is not None:
            out.add_(self._spread(shift))

    def backward(
        self,
        grad: Tensor,
        values: Tensor,
        mean: Tensor | None,
        rstd: Tensor,
        weight: Tensor | None,
        out: Tensor,
    ) -> tuple[Tensor, Tensor]:
        scale = rstd if weight is None else rstd * weight
        share = self.share(scale)
        turn = share * rstd.square()
        gradients = [
            self._backward(*block) for block in blocks(grad, values, mean, scale, share, turn, out)
        ]
        grad_weight, grad_bias = map(joined, zip(*gradients, strict=True))
        grad_weight.mul_(rstd)
        return self._collapse(grad_weight), self._collapse(grad_bias)

    def _backward(
        self,
        grad: Tensor,
        values: Tensor,
        mean: Tensor | None,
        scale: Tensor,
        share: Tensor,
        turn: Tensor,
        out: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Write the gradient of the input; return the sums of g (x - mean) and of g."""
        grad_sum = self._channel_sums(grad)
        product_sum = self._channel_sums(torch.mul(grad, values, out=out))
        if mean is not None:
            product_sum.addcmul_(mean, grad_sum, value=-1)
        along = self._plane_sums(product_sum * turn)
        shift = self._plane_sums(grad_sum * share)
        if mean is not None:
            shift.addcmul_(mean, along, value=-1)
        if self.repeats >= MANY:
            shift, along, scale = _filled(values, shift, along, scale)
            torch.addcmul(shift, values, along, out=out).addcmul_(grad, scale)
        else:
            torch.mul(values, along, out=out).add_(shift)
            self._channels(out).add_(self._channels(grad) * self._spread(scale))
        return product_sum, grad_sum

    def _channels(self, values: Tensor) -> Tensor:
        """Divide a plane into its channels."""
        return values if self.parts == 1 else values.unflatten(-1, (self.parts, -1))

    def _over_repeats(self, sums: Tensor) -> Tensor:
        return sums if self.repeats == 1 else sums.sum(0)

    def _channel_sums(self, values: Tensor) -> Tensor:
        sums = values.sum(-1, keepdim=True) if self.parts == 1 else self._channels(values).sum(-1)
        return self._over_repeats(sums)

    def _plane_sums(self, per_channel: Tensor) -> Tensor:
        return per_channel if self.parts == 1 else per_channel.sum(-1, keepdim=True)

    def _spread(self, per_channel: Tensor) -> Tensor:
        """Shape one value a channel so that it broadcasts to the cells of its channels."""
        return per_channel if self.parts == 1 else per_channel.unsqueeze(-1)

    def _collapse(self, gradient: Tensor) -> Tensor:
        """Add up what `expand` has repeated."""
        return gradient.view(self.recur, -1).sum(0) if self.recur > 1 else gradient.view(-1)


def _filled(values: Tensor, *factors: Tensor) -> list[Tensor]:
    """Write each plane's factors into each cell of a plane: `addcmul` is quick only with such."""
    ones = values.new_ones(values.shape[-1])
    return [factor * ones for factor in factors]
