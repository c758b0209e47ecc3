"""Normalise by the moments of all processes, and differentiate it: the other exchange."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd.function import once_differentiable

from bnlab.distributed.moments import Moments, all_but_channels, explained
from bnlab.functional.arithmetic import in_layout_of, widened


class Synchronized(torch.autograd.Function):
    """Normalise by joint moments; in the backward pass, two sums are joint as well."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        joint: Moments,
        eps: float,
        group: dist.ProcessGroup,
    ) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.joint, ctx.eps, ctx.group = joint, eps, group
        return in_layout_of(input, _apply(joint, input, weight, bias, eps).to(input.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        batch, weight = ctx.saved_tensors
        joint, dim = ctx.joint, all_but_channels(batch)
        grad, normalized = widened(grad_output), _apply(joint, batch, None, None, ctx.eps)
        sums = torch.stack((grad.sum(dim), (grad * normalized).sum(dim)))
        grad_input = None
        if ctx.needs_input_grad[0]:
            totals = sums.to(torch.float64, copy=True)
            with explained():
                dist.all_reduce(totals, group=ctx.group)
            mean, along = totals / joint.size.clamp(min=1)
            scale = _scale(joint, weight, ctx.eps)
            mean, along, scale = (_per_channel(each, grad) for each in (mean, along, scale))
            grad_input = (grad - mean).sub_(normalized.mul_(along)).mul_(scale)
            grad_input = in_layout_of(batch, grad_input.to(batch.dtype))
        # Of this process's samples alone: what averages all other gradients averages these.
        grad_bias, grad_weight = (
            each.to(weight.dtype) if needed else None
            for each, needed in zip(sums, ctx.needs_input_grad[2:0:-1], strict=True)
        )
        return grad_input, grad_weight, grad_bias, None, None, None


def _apply(
    joint: Moments, input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Normalise in the dtype of the arithmetic, float32 or float64; in few passes over memory."""
    values = widened(input)
    mean = _per_channel(joint.mean, values)
    scale = _scale(joint, weight, eps)
    # A mean of 10,000 is rounded in float32: what was rounded off goes into the shift.
    shift = (mean.flatten() - joint.mean) * scale
    shift = shift if bias is None else shift + bias
    scale, shift = (_per_channel(each, values) for each in (scale, shift))
    return (values - mean).mul_(scale).add_(shift)


def _scale(joint: Moments, weight: Tensor | None, eps: float) -> Tensor:
    rstd = torch.rsqrt(joint.var + eps)
    return rstd if weight is None else rstd * weight


def _per_channel(values: Tensor, like: Tensor) -> Tensor:
    """Shape one value a channel so that it broadcasts to `like`, in its dtype."""
    return values.to(like.dtype).view(-1, *[1] * (like.dim() - 2))
