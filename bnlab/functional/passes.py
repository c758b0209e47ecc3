"""The forward and the backward pass of a norm."""

from __future__ import annotations

import torch
from torch import Tensor

from bnlab.functional.arithmetic import constant, widened
from bnlab.functional.layouts import Layout

SMALL = 1 << 16  # cells: a pass over them costs less than to find out whether it can be saved
# How many variances the square of a mean may be, for it not to be taken off first:
MEASURING = 2  # E[x^2] is at most three times the variance, and rounds as little
APPLYING = 16  # nothing but the shift rounds


class Passes:
    """One forward pass, and the statistics that its backward pass needs again."""

    mean: Tensor | None
    var: Tensor
    rstd: Tensor
    far = False

    def __init__(self, layout: Layout, eps: float) -> None:
        self.layout = layout
        self.eps = eps

    def forward(self, input: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        """Return the normalised input and remember its statistics."""
        layout = self.layout
        values, output = layout.view(widened(input)), layout.empty(input)
        result = layout.view(output)
        mean = taken_off = None
        var = layout.mean_square(values)
        if layout.centred:
            mean = taken_off = layout.mean(values)
            # The textbook's shortcut, E[x^2] - mean^2, kept only where next to nothing cancels.
            var.addcmul_(mean, mean, value=-1)
            if _is_far(mean, var, MEASURING):
                self.far = True
                mean = mean + _centre(layout, values, mean, result)
                var = layout.mean_square(result)
                values, taken_off = result, None
        self.mean, self.var, self.rstd = mean, var, _rstd(var, self.eps)
        _transform(layout, values, taken_off, self.rstd, weight, bias, result)
        return output if output.dtype == input.dtype else output.to(input.dtype)

    def backward(
        self, grad_output: Tensor, input: Tensor, weight: Tensor | None, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return the gradients of input, weight and bias."""
        layout = self.layout
        values, grad = layout.view(widened(input)), layout.view(widened(grad_output))
        grad_input = layout.empty(input)
        mean = self.mean
        if self.far and mean is not None:
            centred = torch.empty_like(values)
            _centre(layout, values, mean, centred)
            values, mean = centred, None
        result = layout.view(grad_input)
        grad_weight, grad_bias = layout.backward(
            grad, values, mean, self.rstd, _expanded(layout, weight), result
        )
        return (
            grad_input if grad_input.dtype == input.dtype else grad_input.to(input.dtype),
            None if weight is None else grad_weight.view_as(weight),
            None if bias is None else grad_bias.view_as(bias),
        )


def transform_by(
    input: Tensor,
    layout: Layout,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    """Normalise by statistics that are given, one value a channel."""
    values, output = layout.view(widened(input)), layout.empty(input)
    result = layout.view(output)
    mean, var = widened(mean), widened(var)
    rstd, expanded = layout.expand(_rstd(var, eps)), layout.expand(mean)
    subtract = values.numel() < SMALL or _is_far(mean, var, APPLYING)
    if subtract:
        values = torch.sub(values, expanded, out=result)
    _transform(layout, values, None if subtract else expanded, rstd, weight, bias, result)
    return output if output.dtype == input.dtype else output.to(input.dtype)


def _transform(
    layout: Layout,
    values: Tensor,
    mean: Tensor | None,
    rstd: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    out: Tensor,
) -> None:
    weight, bias = _expanded(layout, weight), _expanded(layout, bias)
    for piece in layout.pieces(values, mean, rstd, weight, bias, out):
        layout.transform(*piece)


def _centre(layout: Layout, values: Tensor, mean: Tensor, out: Tensor) -> Tensor:
    """Write the values less their mean to `out`; return the little that was left of the mean."""
    torch.sub(values, mean, out=out)
    rest = layout.mean(out)
    out.sub_(rest)
    return rest


def _rstd(var: Tensor, eps: float) -> Tensor:
    return var.add(constant(eps, var.dtype)).rsqrt_()


def _is_far(mean: Tensor, var: Tensor, limit: float) -> bool:
    """Whether the square of a mean is more than `limit` times the variance."""
    # In this order not-a-number is far: the squares of large values overflow.
    return not torch.addcmul(var, mean, mean, value=-1 / limit).min().item() >= 0


def _expanded(layout: Layout, parameter: Tensor | None) -> Tensor | None:
    return None if parameter is None else layout.expand(widened(parameter))
