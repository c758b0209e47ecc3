"""The forward and the backward pass of a norm, block by block."""

from __future__ import annotations

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
        values = layout.view(widened(input))
        output = layout.empty(input)
        gamma, beta = _expanded(layout, weight), _expanded(layout, bias)
        statistics = []
        for at, (block, result) in layout.blocks(values, layout.view(output)):
            if layout.centred:
                mean, var = self._centred(block, result)
                block = result
            else:
                var = layout.mean_square(block)
                mean = torch.zeros_like(var)
            rstd = var.add(self.eps).rsqrt_()
            layout.transform(block, rstd, layout.cut(gamma, at), layout.cut(beta, at), result)
            statistics.append((mean, var, rstd))
        self.mean, self.var, self.rstd = map(_joined, zip(*statistics, strict=True))
        return output.to(input.dtype)

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
        for at, (block, upstream, result) in layout.blocks(values, grad, layout.view(grad_input)):
            mean = self.mean[at] if layout.centred else None
            if mean is not None and self.far:
                block = block - layout.spread(mean)
                block.sub_(layout.spread(layout.mean(block)))
                mean = None
            gradients.append(
                layout.backward(upstream, block, mean, self.rstd[at], layout.cut(gamma, at), result)
            )
        grad_weight, grad_bias = (
            None if parameter is None else layout.collapse(parts).view_as(parameter)
            for parameter, parts in zip((weight, bias), zip(*gradients, strict=True), strict=True)
        )
        return grad_input.to(input.dtype), grad_weight, grad_bias


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
    values = layout.view(widened(input))
    output = layout.empty(input)
    mean, var = widened(mean), widened(var)
    rstd = var.add(eps).rsqrt_()
    gamma, beta = _expanded(layout, weight), _expanded(layout, bias)
    subtract = values.numel() < SMALL or _is_far(mean, var)
    if not subtract:
        # A pass less: the mean goes into the shift.
        scale = layout.expand(rstd) if gamma is None else layout.expand(rstd) * gamma
        offset = layout.expand(mean) * scale
        beta = offset.neg_() if beta is None else torch.sub(beta, offset)
    for at, (block, result) in layout.blocks(values, layout.view(output)):
        source = torch.sub(block, layout.spread(mean[at]), out=result) if subtract else block
        layout.transform(source, rstd[at], layout.cut(gamma, at), layout.cut(beta, at), result)
    return output.to(input.dtype)


def _is_far(mean: Tensor, var: Tensor) -> bool:
    """Whether a mean lies so many deviations off 0 that its rounding shows in the result."""
    return torch.addcmul(var, mean, mean, value=-1 / 16).min().item() < 0


def _expanded(layout: Layout, parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else layout.expand(widened(parameter))


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]
