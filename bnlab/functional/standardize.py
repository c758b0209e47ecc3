"""Normalise by the input's own statistics: what every norm does in training.

`_definition` says what is computed, in a few lines. `_in_blocks` computes it in few passes over
memory, `_Differentiable` adds the gradient in closed form. Tests hold both to the definition.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from bnlab.functional.arithmetic import in_torch_layout, moments, normalize, widened
from bnlab.functional.layouts import Layout


class Standardized(NamedTuple):
    """An output, and the statistics of the input that made it."""

    output: Tensor
    mean: Tensor
    var: Tensor


def standardize(
    input: Tensor, layout: Layout, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Standardized:
    """Return `normalize(input, *moments(input), weight, bias, eps)` with the mean and variance."""
    if _needs_definition(input):
        return _definition(input, layout, weight, bias, eps)
    with torch.no_grad():
        result, saved = _in_blocks(input, layout, weight, bias, eps)
    if _needs_gradient(input, weight, bias):
        output = _Differentiable.apply(  # type: ignore[no-untyped-call]
            input, weight, bias, layout, eps, result.output, saved
        )
        return result._replace(output=output)
    return result


def apply_statistics(
    input: Tensor,
    layout: Layout,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    """Return `normalize(input, mean, var, weight, bias, eps)` by statistics that are given."""
    if _needs_definition(input) or _needs_gradient(input, weight, bias):
        per_channel = (1, -1, *[1] * (input.dim() - 2))
        mean, var = mean.view(per_channel), var.view(per_channel)
        weight, bias = (
            None if parameter is None else parameter.view(per_channel)
            for parameter in (weight, bias)
        )
        return in_torch_layout(normalize(input, mean, var, weight, bias, eps))
    values = layout.view(widened(input))
    output = values.new_empty(values.shape)
    rstd = widened(var).add(eps).rsqrt_()
    weight, bias = _expanded(layout, values, weight, bias)
    for at, (block, result) in layout.blocks(values, output):
        torch.sub(block, layout.spread(mean[at]), out=result)
        layout.transform(result, rstd[at], layout.cut(weight, at), layout.cut(bias, at), result)
    return layout.unview(output, input.shape).to(input.dtype)


def _definition(
    input: Tensor, layout: Layout, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Standardized:
    values = layout.view(widened(input))
    if layout.centred:
        # A mean of 10,000 is rounded, by 0.0005 in float32. Normalising forgets every shift, so
        # the mean is taken off first: the one of what remains is small and thus exact.
        shift = values.detach().mean(layout.dim, keepdim=True)
        mean, var = moments(values - shift, layout.dim)
        normalized = normalize(values - shift, mean, var, eps=eps)
        mean = mean + shift
    else:
        mean, var = values.new_zeros(()), values.square().mean(layout.dim, keepdim=True)
        normalized = normalize(values, mean, var, eps=eps)
    output = layout.unview(layout.affine(normalized, weight, bias), input.shape)
    return Standardized(
        in_torch_layout(output.to(input.dtype)), mean.detach().flatten(), var.detach().flatten()
    )


def _in_blocks(
    input: Tensor, layout: Layout, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Standardized, tuple[Tensor | None, Tensor, bool]]:
    values = layout.view(widened(input))
    output = values.new_empty(values.shape)
    weight, bias = _expanded(layout, values, weight, bias)
    means: list[Tensor] = []
    variances: list[Tensor] = []
    deviations: list[Tensor] = []
    far = False
    for at, (block, result) in layout.blocks(values, output):
        if layout.centred:
            mean = layout.sum(block).div_(layout.size)
            torch.sub(block, layout.spread(mean), out=result)
            square = layout.sum_of_squares(result)
            # Four deviations from 0, the rounding of the mean begins to show.
            if torch.addcmul(square, mean, mean, value=-layout.size / 16).min() < 0:
                far = True
                residual = layout.sum(result).div_(layout.size)
                result.sub_(layout.spread(residual))
                mean, square = mean + residual, layout.sum_of_squares(result)
            means.append(mean)
            block = result
        else:
            square = layout.sum_of_squares(block)
        var = square.div_(layout.size)
        rstd = var.add(eps).rsqrt_()
        layout.transform(block, rstd, layout.cut(weight, at), layout.cut(bias, at), result)
        variances.append(var)
        deviations.append(rstd)
    centre = _joined(means) if layout.centred else None
    var, rstd = _joined(variances), _joined(deviations)
    output = layout.unview(output, input.shape).to(input.dtype)
    mean = var.new_zeros(()) if centre is None else centre
    return Standardized(output, mean, var), (centre, rstd, far)


class _Differentiable(torch.autograd.Function):
    """Attach the gradient to an output; it saves the input and two values a statistic, no more."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        layout: Layout,
        eps: float,
        output: Tensor,
        saved: tuple[Tensor | None, Tensor, bool],
    ) -> Tensor:
        mean, rstd, ctx.far = saved
        ctx.layout, ctx.eps = layout, eps
        ctx.save_for_backward(input, weight, bias, mean, rstd)
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, bias, mean, rstd = ctx.saved_tensors
        if torch.is_grad_enabled():
            gradients = _differentiable_gradients(
                grad_output, values, weight, bias, ctx.layout, ctx.eps
            )
        else:
            gradients = _gradients_in_blocks(
                grad_output, values, weight, bias, ctx.layout, mean, rstd, ctx.far
            )
        return (*gradients, None, None, None, None)


def _gradients_in_blocks(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    layout: Layout,
    mean: Tensor | None,
    rstd: Tensor,
    far: bool,
) -> tuple[Tensor | None, ...]:
    values, grad = layout.view(widened(input)), layout.view(widened(grad_output))
    grad_input = values.new_empty(values.shape)
    scale, _ = _expanded(layout, values, weight, None)
    by_block = []
    for at, (block, upstream, result) in layout.blocks(values, grad, grad_input):
        offset = None if mean is None else mean[at]
        if far and offset is not None:
            block = block - layout.spread(offset)
            block.sub_(layout.spread(layout.sum(block).div_(layout.size)))
            offset = None
        by_block.append(
            layout.backward(upstream, block, offset, rstd[at], layout.cut(scale, at), result)
        )
    grad_weight, grad_bias = (
        None if parameter is None else layout.collapse(list(parts)).view_as(parameter)
        for parameter, parts in zip((weight, bias), zip(*by_block, strict=True), strict=True)
    )
    return layout.unview(grad_input, input.shape).to(input.dtype), grad_weight, grad_bias


def _differentiable_gradients(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    layout: Layout,
    eps: float,
) -> tuple[Tensor | None, ...]:
    output = _definition(input, layout, weight, bias, eps).output
    wanted = [t for t in (input, weight, bias) if t is not None and t.requires_grad]
    gradients = iter(torch.autograd.grad(output, wanted, grad_output, create_graph=True))
    return tuple(
        next(gradients) if t is not None and t.requires_grad else None
        for t in (input, weight, bias)
    )


def _needs_definition(input: Tensor) -> bool:
    """Whether something other than eager arithmetic on real values is at work."""
    return (
        input.numel() == 0
        or type(input) not in (Tensor, torch.nn.Parameter)
        or input.is_meta
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()  # vmap, jvp, jacrev ...
        or forward_ad._current_level >= 0
    )


def _needs_gradient(*tensors: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in tensors
    )


def _expanded(
    layout: Layout, values: Tensor, *parameters: Tensor | None
) -> tuple[Tensor | None, ...]:
    return tuple(
        None if parameter is None else layout.expand(parameter.to(values.dtype))
        for parameter in parameters
    )


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
