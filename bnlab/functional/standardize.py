"""Normalise by the input's own statistics: what every norm does in training.

`_definition` says what is computed, in a few lines. `Passes` computes the same in few passes over
memory, forwards and backwards; tests hold it to the definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from bnlab.functional.arithmetic import in_layout_of, moments, normalize, widened
from bnlab.functional.layouts import Layout
from bnlab.functional.passes import Passes, transform_by

Standardized = tuple[Tensor, Tensor | None, Tensor]
"""An output, the mean that was taken off, if any, and the variance, one value for each group."""


def standardize(
    input: Tensor, layout: Layout, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Standardized:
    """Return `normalize(input, *moments(input), weight, bias, eps)`, the mean and the variance."""
    if _needs_definition(input):
        return _definition(input, layout, weight, bias, eps)
    passes = Passes(layout, eps)
    if _needs_gradient(input, weight, bias):
        output: Tensor = _apply(input, weight, bias, passes)
    else:
        output = passes.forward(input, weight, bias)
    return output, passes.mean, passes.var


def apply_statistics(
    input: Tensor,
    layout: Layout,
    mean: Tensor,
    var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> Tensor:
    """Return `normalize(input, mean, var, weight, bias, eps)`: all of them one value a channel."""
    if not (_needs_definition(input) or _needs_gradient(input, weight, bias)):
        return transform_by(input, layout, mean, var, weight, bias, eps)
    per_channel = (1, -1, *[1] * (input.dim() - 2))
    gamma, beta = (
        None if parameter is None else parameter.view(per_channel) for parameter in (weight, bias)
    )
    mean, var = mean.view(per_channel), var.view(per_channel)
    return in_layout_of(input, normalize(input, mean, var, gamma, beta, eps))


def _definition(
    input: Tensor, layout: Layout, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Standardized:
    values = layout.view(widened(input))
    if layout.centred:
        # A mean of 10,000 is rounded, by 0.0005 in float32. Normalising forgets every shift, so
        # the mean is taken off first: the one of what remains is small and thus exact.
        shift = values.detach().mean(layout.dim, keepdim=True)
        values = values - shift
        mean, var = moments(values, layout.dim)
    else:
        var = values.square().mean(layout.dim, keepdim=True)
        shift = mean = torch.zeros_like(var)
    normalized = normalize(values, mean, var, eps=eps)
    output = layout.unview(layout.affine(normalized, weight, bias), input.shape)
    output = output.to(input.dtype).contiguous(memory_format=layout.memory_format)
    return output, (shift + mean).detach() if layout.centred else None, var.detach()


class _Differentiable(torch.autograd.Function):
    """The passes with their gradient; what is kept for it is the input, as it is, and no more."""

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor | None, bias: Tensor | None, passes: Passes
    ) -> Tensor:
        ctx.passes = passes
        ctx.save_for_backward(input, weight, bias)
        return passes.forward(input, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        if not torch.is_grad_enabled():
            return (*ctx.passes.backward(grad_output, *ctx.saved_tensors), None)
        # Someone wants to differentiate again: the definition's own graph serves.
        inputs = ctx.saved_tensors
        layout, eps = ctx.passes.layout, ctx.passes.eps
        output, _, _ = _definition(inputs[0], layout, inputs[1], inputs[2], eps)
        wanted = [tensor for tensor in inputs if tensor is not None and tensor.requires_grad]
        found = iter(torch.autograd.grad(output, wanted, grad_output, create_graph=True))
        gradients = (
            next(found) if tensor is not None and tensor.requires_grad else None
            for tensor in inputs
        )
        return (*gradients, None)


_FAKE = torch._C._TorchDispatchModeKey.FAKE  # shapes without values

# `Function.apply` as it is below torch's wrapper in Python, which costs more than a small norm: the
# wrapper is for functorch's transforms, which are served by the definition.
_apply: Callable[..., Tensor] = super(torch.autograd.Function, _Differentiable).apply


def _needs_definition(input: Tensor) -> bool:
    """Whether something other than eager arithmetic on real values is at work."""
    return (
        input.numel() == 0
        or type(input) not in (Tensor, torch.nn.Parameter)
        or input.is_meta
        or torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()  # vmap, jvp, jacrev ...
        or torch._C._get_dispatch_mode(_FAKE) is not None
        or forward_ad._current_level >= 0
    )


def _needs_gradient(input: Tensor, weight: Tensor | None, bias: Tensor | None) -> bool:
    return torch.is_grad_enabled() and (
        input.requires_grad
        or (weight is not None and weight.requires_grad)
        or (bias is not None and bias.requires_grad)
    )
