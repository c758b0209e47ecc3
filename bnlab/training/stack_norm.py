"""Batch normalisation of many models at once, in few passes over memory.

Under `vmap` the layers compute by their plain definition. A stack spends much of its time there, so
its batch norms get a forward of their own: the same formula and gradient for all models together.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.layers.base import RunningNorm
from bnlab.models.partial import BATCH_NORMS


def quicken(model: nn.Module) -> nn.Module:
    """Give each batch norm of a model, which is to be called under `vmap`, the quick forward.

    A layer without parameters or running statistics keeps its own.
    """
    for module in model.modules():
        wanted = ("weight", "bias", "running_mean", "running_var", "momentum")
        if type(module) in BATCH_NORMS and all(getattr(module, n) is not None for n in wanted):
            module.forward = partial(_forward, module)
    return model


def _forward(norm: Any, input: Tensor) -> Tensor:
    ours = isinstance(norm, RunningNorm)
    check = norm._check_dimensions if ours else norm._check_input_dim
    check(input)
    if norm.training:
        norm.num_batches_tracked.add_(1)
        output: Tensor = _Standardize.apply(  # type: ignore[no-untyped-call]
            *(input, norm.weight, norm.bias, norm.running_mean, norm.running_var),
            *(norm.momentum, norm.eps),
        )
        return output
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    shape = (-1, *[1] * (input.dim() - 2))
    return torch.addcmul(shift.view(shape), input, scale.view(shape))


class _Standardize(torch.autograd.Function):
    """What `vmap` calls, with the tensors of all models in one."""

    @staticmethod
    def forward(input: Tensor, *others: Any) -> Tensor:
        output, _ = _Standardize.vmap(None, (None,) * 7, input, *others)
        return output.squeeze(0)

    @staticmethod
    def setup_context(*_: Any) -> None:
        """Nothing is kept here: `_Many` is what has a gradient."""

    @staticmethod
    def vmap(_: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Tensor, int]:
        tensors = [
            tensor.unsqueeze(0) if dim is None else tensor.movedim(dim, 0)
            for tensor, dim in zip(inputs[:5], in_dims, strict=False)
        ]
        output: Tensor = _Many.apply(*tensors, *inputs[5:])  # type: ignore[no-untyped-call]
        return output, 0


class _Many(torch.autograd.Function):
    """Input (model, N, C, *), the rest (model, C)."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        momentum: float,
        eps: float,
    ) -> Tensor:
        ctx.dims = (1, *range(3, input.dim()))
        shape = (len(weight), 1, -1, *[1] * (input.dim() - 3))
        mean = input.mean(ctx.dims, keepdim=True)
        centred = input - mean
        var = centred.square().mean(ctx.dims, keepdim=True)
        n = input.numel() / mean.numel()
        running_mean.lerp_(mean.view(running_mean.shape), momentum)
        running_var.lerp_(var.view(running_var.shape) * (n / (n - 1)), momentum)
        rstd = torch.rsqrt(var + eps)
        scale = rstd * weight.view(shape)
        ctx.save_for_backward(centred, rstd, scale)
        return torch.addcmul(bias.view(shape), centred, scale)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        centred, rstd, scale = ctx.saved_tensors
        n = centred.numel() // rstd.numel()
        grad_bias = grad_output.sum(ctx.dims, keepdim=True)
        along = (grad_output * centred).sum(ctx.dims, keepdim=True)
        shift = grad_bias * scale / -n
        grad_input = torch.addcmul(shift, centred, along * scale * rstd.square() / -n)
        grad_input.addcmul_(grad_output, scale)
        shape = rstd.shape[0], rstd.shape[2]
        return grad_input, (along * rstd).view(shape), grad_bias.view(shape), *[None] * 4
