"""Batch normalisation in single steps, each of which can be taken in a known wrong way.

Right, it is what `bnlab.functional` does, and a test holds it to that. Where the result of a wrong
step depends on how it was written, it is NaN, or an error of `judging` says so.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bnlab.exercises.asking import BrokenError, UnclearError, Way

AXES = {
    "statistics-per-sample": (2, 3),
    "statistics-over-channels": (1, 2, 3),
    "statistics-over-everything": (0, 1, 2, 3),
    "statistics-per-position": (0,),
    "statistics-of-last-axis": (0, 1, 2),
    "statistics-without-last-axis": (0, 2),
    "statistics-without-height": (0, 3),
}
"""Wrong axes, for (N, C, H, W): in other dimensions it depends on how they were written."""
NORMALISING = (
    "eps-outside-root",
    "eps-ignored",
    "variance-for-root",
    "unbiased-normalising",
    "shortcut-variance",
    "mean-not-subtracted",
)
"""Wrong ways to subtract the mean and to divide."""
AFFINE = (
    "affine-swapped",
    "affine-on-last-axis",
    "affine-on-batch-axis",
    "gamma-ignored",
    "beta-ignored",
    "beta-before-gamma",
)
"""Wrong ways to scale and to shift."""
DIMENSIONS = ("not-2d", "not-5d", "only-4d")
"""Solutions for some numbers of dimensions only."""
MOVING = (
    "momentum-reversed",
    "momentum-reversed-for-mean",
    "momentum-reversed-for-var",
    "momentum-squared",
    "momentum-ignored",
    "old-value-kept-whole",
    "updated-twice",
)
"""Wrong ways to move a running statistic."""
STORING = (
    "biased-storing",
    "factor-upside-down",
    "eps-in-running-var",
    "std-stored",
    "running-not-detached",
    "running-mean-not-detached",
    "running-var-not-detached",
    "variance-around-running-mean",
)
"""Wrong things to move it by."""


def axes(x: Tensor, way: Way) -> tuple[int, ...]:
    """Give the dimensions whose cells share a mean."""
    check_dimensions(x, way)
    for slug, dim in AXES.items():
        if slug in way:
            if x.dim() != 4:
                raise UnclearError
            return dim
    return (0, *range(2, x.dim()))


def check_dimensions(x: Tensor, way: Way) -> None:
    """Fail where the solution was written for other inputs."""
    if ("not-2d" in way and x.dim() == 2) or ("not-5d" in way and x.dim() == 5):
        raise BrokenError
    if "only-4d" in way and x.dim() != 4:
        raise BrokenError


def check_dtype(x: Tensor, way: Way) -> None:
    """Fail where the solution was written for float32."""
    if "dtype-changed" in way and x.dtype != torch.float32:
        raise BrokenError


def variance(x: Tensor, mean: Tensor, dim: tuple[int, ...], way: Way) -> Tensor:
    """Return the biased one, unless by the shortcut that cancels."""
    if "shortcut-variance" in way:
        return x.square().mean(dim, keepdim=True) - x.mean(dim, keepdim=True).square()
    return (x - mean).square().mean(dim, keepdim=True)


def unbiased(x: Tensor, dim: tuple[int, ...]) -> float:
    """Give the factor from the biased variance to the unbiased one."""
    n = 1
    for d in dim:
        n *= x.shape[d]
    return n / (n - 1)


def correction(x: Tensor, dim: tuple[int, ...], way: Way) -> float:
    """Give the factor by which the biased variance is stored."""
    if "biased-storing" in way:
        return 1.0
    factor = unbiased(x, dim[:1] if "samples-for-values" in way else dim)
    return 1 / factor if "factor-upside-down" in way else factor


def root(var: Tensor, eps: float, way: Way) -> Tensor:
    """Return what is divided by."""
    eps = 1e-5 if "eps-ignored" in way else eps
    if "eps-outside-root" in way:
        return var.sqrt() + eps
    if "variance-for-root" in way:
        return var + eps
    return (var + eps).sqrt()


def per_channel(values: Tensor, x: Tensor, way: Way) -> Tensor:
    """View one value a channel so that it broadcasts to x."""
    if "affine-on-last-axis" in way:
        return values
    if "affine-on-batch-axis" in way:
        return values.view(-1, *[1] * (x.dim() - 1))
    return values.view(1, -1, *[1] * (x.dim() - 2))


def scale_and_shift(
    normalized: Tensor, weight: Tensor | None, bias: Tensor | None, way: Way
) -> Tensor:
    """Apply gamma and beta, where they are given."""
    if "affine-swapped" in way:
        weight, bias = bias, weight
    if weight is not None and "gamma-ignored" not in way:
        weight = per_channel(weight, normalized, way)
    else:
        weight = None
    bias = None if bias is None or "beta-ignored" in way else per_channel(bias, normalized, way)
    if "beta-before-gamma" in way:
        shifted = normalized if bias is None else normalized + bias
        return shifted if weight is None else weight * shifted
    scaled = normalized if weight is None else weight * normalized
    return scaled if bias is None else scaled + bias


def standardize(x: Tensor, mean: Tensor, var: Tensor, eps: float, way: Way) -> Tensor:
    """Subtract and divide."""
    if "input-changed" in way:
        # In place, as `x -= mean` does.
        x = x.sub_(mean)
        return x / root(var, eps, way)
    centred = x if "mean-not-subtracted" in way else x - mean
    return centred / root(var, eps, way)


def moments_to_normalise(x: Tensor, way: Way) -> tuple[tuple[int, ...], Tensor, Tensor]:
    """Return what is averaged over, the batch's mean and its variance."""
    check_dtype(x, way)
    dim = axes(x, way)
    mean = x.mean(dim, keepdim=True)
    var = variance(x, mean, dim, way)
    if "unbiased-normalising" in way:
        var = var * unbiased(x, dim)
    return dim, mean, var


def forward(x: Tensor, weight: Tensor, bias: Tensor, eps: float, way: Way) -> Tensor:
    """Normalise a batch by its own statistics."""
    _, mean, var = moments_to_normalise(x, way)
    return scale_and_shift(standardize(x, mean, var, eps, way), weight, bias, way)


def move(name: str, running: Tensor, batch: Tensor, momentum: float, way: Way) -> Tensor:
    """Return a running statistic, "mean" or "var", after one batch."""
    if "no-update" in way:
        return running
    if "momentum-ignored" in way:
        momentum = 0.1
    if "momentum-squared" in way:
        momentum = momentum**2
    if way & {"momentum-reversed", f"momentum-reversed-for-{name}"}:
        momentum = 1 - momentum
    if "old-value-kept-whole" in way:
        return running + momentum * batch
    if "updated-twice" in way:
        momentum = 1 - (1 - momentum) ** 2
    return (1 - momentum) * running + momentum * batch


def move_both(
    running_mean: Tensor, running_var: Tensor, x: Tensor, momentum: float, eps: float, way: Way
) -> tuple[Tensor, Tensor]:
    """Return both running statistics after one batch."""
    check_dtype(x, way)
    dim = axes(x, way)
    mean = x.mean(dim, keepdim=True)
    shape: tuple[int, ...] = 1, -1, *[1] * (x.dim() - 2)
    if "too-many-statistics" in way and x.dim() > 2:
        raise BrokenError
    if mean.numel() == running_mean.numel():
        # One statistic for each of something, be it channels or not.
        shape = mean.shape
    elif mean.numel() > 1:
        return running_mean * torch.nan, running_var * torch.nan
    old_mean, old_var = running_mean.view(shape), running_var.view(shape)
    new_mean = move("mean", old_mean, mean, momentum, way)
    # Around what the variance is taken.
    centre = new_mean if "variance-around-running-mean" in way else mean
    var = variance(x, centre, dim, way)
    var = var * correction(x, dim, way)
    if "eps-in-running-var" in way:
        var = var + eps
    if "std-stored" in way:
        var = var.sqrt()
    new_var = move("var", old_var, var, momentum, way)
    if "statistics-swapped" in way:
        new_mean, new_var = new_var, new_mean
    if not way & {"running-not-detached", "running-mean-not-detached"}:
        new_mean = new_mean.detach()
    if not way & {"running-not-detached", "running-var-not-detached"}:
        new_var = new_var.detach()
    if "input-changed" in way:
        x.detach().sub_(mean.detach())
    return new_mean.reshape(-1), new_var.reshape(-1)


def backward(
    grad_output: Tensor, x: Tensor, weight: Tensor, eps: float, way: Way
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias."""
    dim, mean, var = moments_to_normalise(x, way)
    divisor = root(var, eps, way)
    normalized = (x - mean) / divisor
    g = grad_output
    if "gamma-ignored" not in way:
        g = g * per_channel(weight, x, way)
    average = torch.sum if "sum-for-mean" in way else torch.mean
    both = "not-through-statistics" in way
    through_mean = average(g, dim, keepdim=True)
    through_var = normalized * average(g * normalized, dim, keepdim=True)
    dx = g
    if not (both or "not-through-mean" in way):
        dx = dx - through_mean
    if not (both or "not-through-variance" in way):
        dx = dx - through_var
    if "root-not-divided-by" not in way:
        dx = dx / divisor
    factor = x if "gamma-gradient-of-input" in way else normalized
    # Gamma and beta are one a channel, whatever the statistics were taken over.
    every = (0, *range(2, x.dim()))
    total = torch.mean if "affine-gradients-averaged" in way else torch.sum
    dweight, dbias = total(grad_output * factor, every), total(grad_output, every)
    if "affine-gradients-swapped" in way:
        dweight, dbias = dbias, dweight
    if "input-changed" in way:
        x.sub_(mean)
    return dx, dweight, dbias
