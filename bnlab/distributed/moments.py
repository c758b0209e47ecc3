"""Moments of a batch whose parts lie with several processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch import distributed as dist

from bnlab.functional import moments
from bnlab.functional.arithmetic import widened


class Moments(NamedTuple):
    """The number of values in a channel, and each channel's mean and biased variance."""

    size: Tensor
    mean: Tensor
    var: Tensor


def combine_moments(size: Tensor, mean: Tensor, var: Tensor) -> Moments:
    r"""Return the moments of a whole from those of its parts, each of which stays where it is.

    .. math::
        n = \sum_p n_p \qquad \mu = \sum_p \frac{n_p}{n} \mu_p \qquad
        \sigma^2 = \sum_p \frac{n_p}{n} \big(\sigma_p^2 + (\mu_p - \mu)^2\big)

    Args:
        size: :math:`n_p`, the number of values a channel has in each part; 0 for an empty part,
            whose mean and variance are not looked at.
        mean: :math:`\mu_p`.
        var: :math:`\sigma_p^2`, biased.

    Shape:
        - size: :math:`(P)`, or :math:`(P, 1)`
        - mean and var: :math:`(P, C)`; those returned :math:`(C)`, 0 where all parts are empty

    Raises:
        RuntimeError: The three do not have the same number of parts.

    Example:
        >>> batch = torch.tensor([[1.0], [2.0], [3.0], [10.0]])
        >>> parts = [moments(part, dim=0) for part in batch.split((3, 1))]
        >>> mean, var = (torch.cat(each) for each in zip(*parts))
        >>> combine_moments(torch.tensor([3, 1]), mean, var).var
        tensor([12.5000])
        >>> batch.var(dim=0, correction=0)
        tensor([12.5000])

    Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances" (1979), for any number of parts and with :math:`n_p \sigma_p^2` as their sum of
    squares. Unlike :math:`E[x^2] - E[x]^2` it takes no large numbers from each other.
    """
    size = size.to(mean.dtype).view(-1, 1)
    mean, var = (each.where(size > 0, 0.0) for each in (mean, var))
    share = size / size.sum().clamp(min=1)
    joint = (share * mean).sum(0)
    return Moments(size.sum(), joint, (share * (var + (mean - joint).square())).sum(0))


def exact_moments(input: Tensor) -> Moments:
    """Return the moments of a batch (N, C) or (N, C, *), in float64 and on the CPU."""
    # Apple's accelerator has no float64; what is one value a channel goes to the CPU.
    wide = input if input.is_mps else input.double()
    mean, var = (each.flatten().cpu().double() for each in moments(wide, all_but_channels(input)))
    return Moments(torch.tensor(input.numel() / input.shape[1]).double(), mean, var)


@torch.no_grad()
def gather_moments(input: Tensor, group: dist.ProcessGroup) -> Moments:
    """Return the moments that `input` and the inputs of all other processes have together.

    Args:
        input: This process's share, (N, C) or (N, C, *); N may be 0.
        group: The processes; each has to call this.
    """
    values, dim = widened(input), all_but_channels(input)
    # A mean of 10,000 is rounded, by 0.0005 in float32: what it misses is in the second one.
    first = values.mean(dim, keepdim=True)
    rest, var = (each.flatten().double() for each in moments(values - first, dim))
    size = torch.full_like(rest[:1], input.numel() // input.shape[1])
    row = torch.cat((size, first.flatten() + rest, var))
    rows = row.new_empty(dist.get_world_size(group), len(row))
    with explained():
        dist.all_gather(list(rows), row, group)
    return combine_moments(*rows.tensor_split((1, 1 + input.shape[1]), dim=1))


def all_but_channels(input: Tensor) -> list[int]:
    """The dimensions that a channel's statistics cover."""
    return [dim for dim in range(input.dim()) if dim != 1]


@contextmanager
def explained() -> Iterator[None]:
    """Say what a failed exchange means."""
    try:
        yield
    except RuntimeError as error:
        raise RuntimeError(
            "SyncBatchNorm lost the other processes: one of them has ended, or did not come to the "
            "same layer in the same mode within the group's timeout. Its own error, further up in "
            "the output of torchrun, says why; every process has to run each layer equally often, "
            f"those without samples too. Torch says: {error}"
        ) from error
