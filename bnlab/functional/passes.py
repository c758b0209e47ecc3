"""The forward and the backward pass of a norm, block by block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bnlab.functional.arithmetic import widened
from bnlab.functional.layouts import Layout

SMALL = 1 << 16  # cells: a pass over them costs less than to find out whether it can be saved


class Passes:
    """One forward pass, and the statistics that its backward pass needs again."""

    mean: Tensor
    var: Tensor
    rstd: Tensor

    def __init__(self, layout: Layout, eps: float) -> None:
        self.layout = layout
        self.eps = eps
        self.far = False

    def forward(self, input: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        """Return the normalised input and remember its statistics."""
        layout = self.layout
        values, output = layout.view(widened(input)), layout.empty(input)
        weight, bias = _expanded(layout, weight), _expanded(layout, bias)
        statistics = []
        for at, block, result in layout.blocks(values, layout.view(output)):
            if layout.centred:
                mean, var = self._centred(block, result)
                block = result
            else:
                var = layout.mean_square(block)
                mean = torch.zeros_like(var)
            rstd = var.add(self.eps).rsqrt_()
            layout.transform(block, rstd, layout.cut(weight, at), layout.cut(bias, at), result)
            statistics.append((mean, var, rstd))
        self.mean, self.var, self.rstd = _joined(statistics)
        return output if output.dtype == input.dtype else output.to(input.dtype)

    def _centred(self, block: Tensor, result: Tensor) -> tuple[Tensor, Tensor]:
        """Write the block less its mean to `result`; return the mean and the variance."""
        layout = self.layout
        mean = layout.mean(block)
        torch.sub(block, layout.spread(mean), out=result)
        var = layout.mean_square(result)
        if _is_far(mean, var):
            # The little that is left of the mean is taken off, too.
            self.far = True
            rest = layout.mean(result)
            result.sub_(layout.spread(rest))
            mean, var = mean + rest, layout.mean_square(result)
        return mean, var

    def backward(
        self, grad_output: Tensor, input: Tensor, weight: Tensor | None, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return the gradients of input, weight and bias."""
        layout = self.layout
        values, grad = layout.view(widened(input)), layout.view(widened(grad_output))
        grad_input = layout.empty(input)
        gamma = _expanded(layout, weight)
        gradients = []
        for at, block, upstream, result in layout.blocks(values, grad, layout.view(grad_input)):
            mean = _cut(self.mean, at) if layout.centred else None
            if mean is not None and self.far:
                block = block - layout.spread(mean)
                block.sub_(layout.spread(layout.mean(block)))
                mean = None
            rstd = _cut(self.rstd, at)
            gradients.append(
                layout.backward(upstream, block, mean, rstd, layout.cut(gamma, at), result)
            )
        grad_weight, grad_bias = (
            None if parameter is None else layout.collapse(parts).view_as(parameter)
            for parameter, parts in zip((weight, bias), zip(*gradients, strict=True), strict=True)
        )
        if grad_input.dtype != input.dtype:
            grad_input = grad_input.to(input.dtype)
        return grad_input, grad_weight, grad_bias


def apply_in_blocks(
    input: Tensor,
    layout: Layout,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    """Normalise by statistics that are given."""
    values, output = layout.view(widened(input)), layout.empty(input)
    mean, var = widened(mean), widened(var)
    weight, bias = _expanded(layout, weight), _expanded(layout, bias)
    scale = var.add(eps).rsqrt_()
    subtract = values.numel() < SMALL or _is_far(mean, var)
    if not subtract:
        # A pass less: the mean goes into the shift.
        scale = scale if weight is None else scale.mul_(weight)
        bias = -mean * scale if bias is None else torch.addcmul(bias, mean, scale, value=-1)
        weight = None
    for at, block, result in layout.blocks(values, layout.view(output)):
        if subtract:
            block = torch.sub(block, layout.spread(_cut(mean, at)), out=result)
        layout.transform(
            block, _cut(scale, at), layout.cut(weight, at), layout.cut(bias, at), result
        )
    return output if output.dtype == input.dtype else output.to(input.dtype)


def _is_far(mean: Tensor, var: Tensor) -> bool:
    """Whether a mean lies so many deviations off 0 that its rounding shows in the result."""
    return torch.addcmul(var, mean, mean, value=-1 / 16).min().item() < 0


def _expanded(layout: Layout, parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else layout.expand(widened(parameter))


def _cut(statistic: Tensor, at: slice | None) -> Tensor:
    return statistic if at is None else statistic[at]


def _joined(parts: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return parts[0] if len(parts) == 1 else tuple(map(torch.cat, zip(*parts, strict=True)))
