"""Right solutions, written in many ways: none may be called wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import bnlab
from bnlab import checkpoint, functional
from tests.exercises import sources


def loops(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """One channel after the other, value by value."""
    y = torch.empty_like(x)
    for c in range(x.shape[1]):
        values = [v.item() for v in x[:, c].flatten()]
        mean = sum(values) / len(values)
        var = sum((v - mean) ** 2 for v in values) / len(values)
        done = [(v - mean) / (var + eps) ** 0.5 * weight[c].item() + bias[c].item() for v in values]
        y[:, c] = torch.tensor(done, dtype=x.dtype).view_as(x[:, c])
    return y


def einsum(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    flat = x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)
    n = flat.shape[0] * flat.shape[2]
    centred = flat - torch.einsum("ncl->c", flat)[None, :, None] / n
    var = torch.einsum("ncl,ncl->c", centred, centred) / n
    y = torch.einsum("ncl,c->ncl", centred, weight * (var + eps) ** -0.5) + bias[None, :, None]
    return y.view_as(x)


def numpy_style(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    values = x.detach().numpy()
    axes = (0, *range(2, values.ndim))
    shape = (1, -1) + (1,) * (values.ndim - 2)
    mean, var = values.mean(axes, keepdims=True), values.var(axes, keepdims=True)
    gamma, beta = weight.numpy().reshape(shape), bias.numpy().reshape(shape)
    return torch.from_numpy((values - mean) / np.sqrt(var + eps) * gamma + beta)


def torch_var(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    last = x.movedim(1, -1)
    var, mean = torch.var_mean(last, tuple(range(last.dim() - 1)), correction=0)
    return ((last - mean) * torch.rsqrt(var + eps) * weight + bias).movedim(-1, 1)


def welford(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    cells = x.movedim(1, -1).reshape(-1, x.shape[1])
    mean, squares = torch.zeros_like(cells[0]), torch.zeros_like(cells[0])
    for count, row in enumerate(cells, start=1):
        step = row - mean
        mean = mean + step / count
        squares = squares + step * (row - mean)
    y = (cells - mean) / torch.sqrt(squares / len(cells) + eps) * weight + bias
    return y.reshape(x.movedim(1, -1).shape).movedim(-1, 1)


def torch_function(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return nn.functional.batch_norm(x, None, None, weight, bias, training=True, eps=eps)


def ours(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return functional.batch_norm(x, None, None, weight, bias, training=True, eps=eps)


FORWARDS: list[Callable[..., Any]] = [
    loops, einsum, numpy_style, torch_var, welford, torch_function, ours,
]  # fmt: skip


class Hand(torch.autograd.Function):
    """Forward and backward by hand, on (cells, channels)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        mean = x.mean(0)
        inv = (((x - mean) ** 2).mean(0) + eps) ** -0.5
        y = (x - mean) * inv
        ctx.save_for_backward(y, inv)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        y, inv = ctx.saved_tensors
        return (g - g.mean(0) - y * (g * y).mean(0)) * inv, None


class AutogradLayer(nn.BatchNorm1d):
    """Torch's state, a hand-written function inside."""

    def forward(self, input: Tensor) -> Tensor:
        cells = input.movedim(1, -1).reshape(-1, self.num_features)
        if self.training and self.track_running_stats:
            self.num_batches_tracked.add_(1)
            m = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked.item()
            with torch.no_grad():
                self.running_mean.lerp_(cells.mean(0), m)
                self.running_var.lerp_(cells.var(0), m)
        if self.training or not self.track_running_stats:
            cells = Hand.apply(cells, self.eps)
        else:
            cells = (cells - self.running_mean) / (self.running_var + self.eps).sqrt()
        if self.affine:
            cells = cells * self.weight + self.bias
        return cells.reshape(input.movedim(1, -1).shape).movedim(-1, 1)


def function(
    x: Tensor, running_mean: Any, running_var: Any, weight: Any, bias: Any, training: bool,
    momentum: float, eps: float,
) -> Tensor:  # fmt: skip
    """As a lesson's `batch_norm(...)`, which changes the running statistics in place."""
    axes = [d for d in range(x.dim()) if d != 1]

    def wide(t: Tensor) -> Tensor:
        return t[(None, slice(None), *[None] * (x.dim() - 2))]

    if training:
        var, mean = torch.var_mean(x, axes, correction=0)
        if running_mean is not None:
            n = x.numel() / x.size(1)
            running_mean += momentum * (mean.detach() - running_mean)
            running_var += momentum * (var.detach() * n / (n - 1) - running_var)
    else:
        mean, var = running_mean, running_var
    y = (x - wide(mean)) / torch.sqrt(wide(var) + eps)
    return y if weight is None else y * wide(weight) + wide(bias)


def returning(
    x: Tensor, running_mean: Any, running_var: Any, weight: Any, bias: Any, training: bool,
    momentum: float, eps: float,
) -> tuple[Tensor, Any, Any]:  # fmt: skip
    """The same with new running statistics returned."""
    if running_mean is not None:
        running_mean, running_var = running_mean.clone(), running_var.clone()
    y = function(x, running_mean, running_var, weight, bias, training, momentum, eps)
    return y, running_mean, running_var


LAYERS: list[Callable[..., Any]] = [
    sources.write(sources.LAYER),
    AutogradLayer,
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d,
    bnlab.BatchNorm1d, bnlab.BatchNorm2d, bnlab.BatchNorm3d,
    function, returning,
    nn.functional.batch_norm, functional.batch_norm,
    functools.partial(nn.BatchNorm2d, device="cpu"),
]  # fmt: skip
IN_MODES = [*LAYERS[:8]]


def in_place(running_mean: Tensor, running_var: Tensor, x: Tensor, momentum: float) -> None:
    with torch.no_grad():
        cells = x.movedim(1, 0).flatten(1)
        functional.update_running(running_mean, cells.mean(1), momentum)
        functional.update_running(running_var, cells.var(1), momentum)


def by_torch(running_mean: Tensor, running_var: Tensor, x: Tensor, momentum: float) -> list[Tensor]:
    nn.functional.batch_norm(x, running_mean, running_var, training=True, momentum=momentum)
    return [running_mean, running_var]


UPDATES: list[Callable[..., Any]] = [sources.write(sources.RUNNING), in_place, by_torch]


def by_autograd(grad_output: Tensor, x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, ...]:
    leaves = [t.clone().requires_grad_() for t in (x, weight, torch.zeros_like(weight))]
    return torch.autograd.grad(torch_var(*leaves, eps), leaves, grad_output)


def in_one_line(
    grad_output: Tensor, x: Tensor, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    dim = (0, *range(2, x.dim()))
    mean, var = functional.moments(x, dim)
    rstd = torch.rsqrt(var + eps)
    normalized = (x - mean) * rstd
    g = grad_output * weight.view(1, -1, *[1] * (x.dim() - 2))
    dx = functional.normalize_backward(g, normalized, rstd, dim)
    return dx, (grad_output * normalized).sum(dim), grad_output.sum(dim)


def classic(dy: Tensor, x: Tensor, gamma: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """The chain rule step by step, as in the paper."""
    cells, g = (t.movedim(1, -1).reshape(-1, len(gamma)) for t in (x, dy))
    n, mu = len(cells), cells.mean(0)
    var = ((cells - mu) ** 2).sum(0) / n
    dxhat = g * gamma
    dvar = (dxhat * (cells - mu)).sum(0) * -0.5 * (var + eps) ** -1.5
    dmu = -dxhat.sum(0) / (var + eps).sqrt() + dvar * (-2 * (cells - mu)).sum(0) / n
    dx = dxhat / (var + eps).sqrt() + dvar * 2 * (cells - mu) / n + dmu / n
    xhat = (cells - mu) / (var + eps).sqrt()
    back = dx.reshape(x.movedim(1, -1).shape).movedim(-1, 1)
    return back, (g * xhat).sum(0), g.sum(0)


BACKWARDS: list[Callable[..., Any]] = [by_autograd, in_one_line, classic]


def group_by_loops(x: Tensor, num_groups: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    y = torch.empty_like(x)
    size = x.shape[1] // num_groups
    for n in range(len(x)):
        for g in range(num_groups):
            part = x[n, g * size : (g + 1) * size]
            y[n, g * size : (g + 1) * size] = (part - part.mean()) / (
                part.var(correction=0) + eps
            ).sqrt()
    return (y.movedim(1, -1) * weight + bias).movedim(-1, 1)


GROUP_NORMS: list[Callable[..., Any]] = [
    nn.functional.group_norm, functional.group_norm, group_by_loops,
]  # fmt: skip


def fold_by_ours(layer: Any, norm: Any) -> nn.Module:
    return bnlab.folding.fold(nn.Sequential(layer, norm).eval())[0]


def fold_by_torch(layer: Any, norm: Any) -> tuple[Any, Any]:
    return nn.utils.fusion.fuse_conv_bn_weights(
        layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight,
        norm.bias,
    )  # fmt: skip


def freeze_by_class(model: nn.Module) -> nn.Module:
    """Another class for each norm, as detection libraries have it."""

    class Frozen(nn.Module):
        def __init__(self, norm: Any) -> None:
            super().__init__()
            self.eps = norm.eps
            for name, value in norm.state_dict().items():
                self.register_buffer(name, value)

        def forward(self, x: Any) -> Any:
            shape = 1, -1, *[1] * (x.dim() - 2)
            scale = self.weight / (self.running_var + self.eps).sqrt()
            return (x - self.running_mean.view(shape)) * scale.view(shape) + self.bias.view(shape)

    for name, child in model.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(model, name, Frozen(child))
        else:
            freeze_by_class(child)
    return model


def save_in_dict(model: nn.Module, path: Any) -> None:
    torch.save({"epoch": 3, "model": model.state_dict(), "lr": 0.1}, path)


def save_safely(model: nn.Module, path: Any) -> None:
    from safetensors.torch import save_file

    save_file(model.state_dict(), path)


CORRECT: dict[str, list[Callable[..., Any]]] = {
    "forward": FORWARDS,
    "running update": UPDATES,
    "backward": BACKWARDS,
    "modes": IN_MODES,
    "batch norm": LAYERS,
    "group norm": GROUP_NORMS,
    "folding": [fold_by_ours, fold_by_torch],
    "freezing": [bnlab.freeze, freeze_by_class],
    "saving": [save_in_dict, save_safely, lambda model, path: checkpoint.save(path, model)],
}
