"""A statistic for each plane of a stack."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from bnlab.functional import layouts
from bnlab.functional.layouts import Layout, sum_of_squares


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
        planes = max(1, layouts.BLOCK // max(1, self.size))
        for start in range(0, self.shape[1], planes):
            at = slice(start, start + planes)
            yield at, tuple(view[:, at] for view in views)

    def mean(self, values: Tensor) -> Tensor:
        return values.sum(-1).sum(0).div_(self.size)

    def mean_square(self, values: Tensor) -> Tensor:
        return sum_of_squares(values).sum(0).div_(self.size)

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
