"""A statistic for each plane of a stack."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bnlab.functional.layouts import Layout, sum_of_squares

MANY = 32  # repeats: so often is a plane of factors used that to fill it costs little


class Planes(Layout):
    """`(repeats, planes, cells)`: a statistic covers a plane in all repeats.

    For batch norm a plane is a channel, repeated in each sample. For instance and group norm it is
    a channel or a group of channels of one sample: the parameters recur from sample to sample.
    """

    dim = (0, 2)
    along = 1

    def __init__(self, input: Tensor, groups: int | None = None) -> None:
        samples, channels = input.shape[:2]
        repeats, self.recur = (samples, 1) if groups is None else (1, samples)
        groups = channels if groups is None else groups
        self.parts = channels // groups
        cells = self.parts * input.shape[2:].numel()
        self.shape = (repeats, self.recur * groups, cells)
        self.size = repeats * cells
        # Of one repeat there is nothing to add up.
        self.join_repeats: Callable[[Tensor, int], Tensor] = (
            torch.sum if repeats > 1 else torch.squeeze
        )

    def view(self, input: Tensor) -> Tensor:
        return input.reshape(self.shape)

    def affine(self, values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        weight, bias = (
            None if parameter is None else self.expand(parameter).unsqueeze(-1)
            for parameter in (weight, bias)
        )
        return super().affine(self._channels(values), weight, bias).reshape(self.shape)

    def expand(self, parameter: Tensor) -> Tensor:
        if self.recur != 1:
            parameter = parameter.expand(self.recur, -1).flatten()
        return parameter if self.parts == 1 else parameter.view(self.shape[1], self.parts)

    def cut(self, expanded: Tensor | None, at: slice | None) -> Tensor | None:
        return expanded if expanded is None or at is None else expanded[at]

    def collapse(self, gradients: tuple[Tensor, ...]) -> Tensor:
        joined = torch.cat(gradients) if len(gradients) > 1 else gradients[0]
        return joined if self.recur == 1 else joined.view(self.recur, -1).sum(0)

    def mean(self, values: Tensor) -> Tensor:
        return self.join_repeats(values.sum(-1), 0).div_(self.size)

    def mean_square(self, values: Tensor) -> Tensor:
        return self.join_repeats(sum_of_squares(values), 0).div_(self.size)

    def transform(
        self, values: Tensor, rstd: Tensor, weight: Tensor | None, bias: Tensor | None, out: Tensor
    ) -> None:
        scale = self._scale(rstd, weight)
        values, out = self._channels(values), self._channels(out)
        if bias is None:
            torch.mul(values, scale.unsqueeze(-1), out=out)
        elif len(values) < MANY:
            torch.mul(values, scale.unsqueeze(-1), out=out).add_(bias.unsqueeze(-1))
        else:
            torch.addcmul(_filled(bias, values), values, _filled(scale, values), out=out)

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
        grad_bias = self.join_repeats(grads.sum(-1), 0)
        grad_weight = self.join_repeats(products.sum(-1), 0)
        if mean is not None:
            grad_weight.addcmul_(self._each(mean), grad_bias, value=-1)
        grad_weight.mul_(self._each(rstd))
        scale = self._scale(rstd, weight)
        if self.parts == 1:
            # A whole plane has one weight, which all three terms share: no scratch is needed.
            along = (grad_weight * rstd).div_(-self.size)
            shift = grad_bias / -self.size
            if mean is not None:
                shift.addcmul_(mean, along, value=-1)
            if len(values) < MANY:
                torch.mul(values, along.unsqueeze(-1), out=out).add_(grad)
            else:
                torch.addcmul(grad, values, _filled(along, values), out=out)
            out.add_(shift.unsqueeze(-1)).mul_(scale.unsqueeze(-1))
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
        if self.parts == 1:
            return values
        repeats, planes, cells = values.shape
        return values.reshape(repeats, planes, self.parts, cells // self.parts)

    def _each(self, statistic: Tensor) -> Tensor:
        """Shape one value a plane so that it broadcasts to one a channel."""
        return statistic if self.parts == 1 else statistic.unsqueeze(-1)

    def _scale(self, rstd: Tensor, weight: Tensor | None) -> Tensor:
        return self._each(rstd) if weight is None else self._each(rstd) * weight


def _filled(factor: Tensor, values: Tensor) -> Tensor:
    """Write a plane's factor into each cell of a plane: `addcmul` is quick only with such."""
    return factor.unsqueeze(-1).expand(values.shape[1:]).contiguous()
