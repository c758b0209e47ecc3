"""Normalise by the input's own statistics: what all norms do in training, exact at any mean."""

from __future__ import annotations

from torch import Tensor

from bnlab.functional.arithmetic import in_torch_layout, moments, normalize, widened


def standardize(
    input: Tensor,
    dim: tuple[int, ...],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `normalize(input, *moments(input, dim), weight, bias, eps)`, mean and variance.

    A mean of 10,000 is itself rounded, by 0.0005 in float32. Normalising forgets every shift, so a
    first mean is taken off before the moments are: the residual mean is small and thus exact.
    """
    values = widened(input)
    shift = values.detach().mean(dim, keepdim=True)
    centred = values - shift
    mean, var = moments(centred, dim)
    output = normalize(centred, mean, var, weight, bias, eps).to(input.dtype)
    return in_torch_layout(output), (shift + mean).detach(), var.detach()


def root_mean_square(
    input: Tensor, dim: tuple[int, ...], weight: Tensor | None, eps: float
) -> Tensor:
    """Return `input` over the root of its mean square: `standardize` with the mean taken as 0."""
    values = widened(input)
    square = values.square().mean(dim, keepdim=True)
    return normalize(values, square.new_zeros(()), square, weight, None, eps).to(input.dtype)
