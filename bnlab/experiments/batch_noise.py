"""What the company of a batch does to one sample's scores."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


def scores_in_batches(
    model: nn.Module, sample: Tensor, mates: Tensor, batch_size: int, *, draws: int = 100
) -> Tensor:
    r"""Return one sample's scores in train mode, each time in another random batch.

    With batch normalisation a sample is measured by the mean and the variance of its batch, and
    those of a random batch scatter around the whole data's. Of :math:`n` independent values

    .. math::
        \operatorname{Var}[\mu_B] = \sigma^2 / n

    Args:
        model: A classifier; it is copied, so that neither its mode nor its statistics change.
        sample: The one that is in every batch.
        mates: What its company is drawn from, with replacement, as if there were no end of them.
        batch_size: Samples in a batch, this one included.
        draws: How many batches.

    Shape:
        - sample: :math:`(*)`, whatever `model` takes as one sample
        - mates: :math:`(M, *)`
        - output: :math:`(draws, classes)`

    Raises:
        ValueError: A batch has no room for a mate, or there are none.

    Example:
        >>> model = nn.BatchNorm1d(2, affine=False)
        >>> mates = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> small, large = (
        ...     scores_in_batches(model, torch.zeros(2), mates, size).std(0) for size in (4, 64)
        ... )
        >>> bool((small > 2 * large).all())
        True

    Every call with the same sizes draws the same batches.
    """
    if batch_size < 2 or not len(mates):
        raise ValueError(
            f"batch_size is {batch_size}, and there are {len(mates)} mates to draw from: "
            "the sample needs at least one, and a batch of 2"
        )
    model = deepcopy(model).train()
    draw = torch.Generator().manual_seed(0)
    scores = []
    with torch.no_grad():
        for _ in range(draws):
            rows = torch.randint(len(mates), (batch_size - 1,), generator=draw)
            scores.append(model(torch.cat((sample[None], mates[rows])))[0])
    return torch.stack(scores)


def lead(scores: Tensor, target: int) -> Tensor:
    r"""Return how far the right class is ahead of the best other one, negative where it is behind.

    .. math::
        \ell = s_t - \max_{c \ne t} s_c

    Args:
        scores: Of each class.
        target: The right class.

    Shape:
        - scores: :math:`(*, classes)`
        - output: :math:`(*)`

    Example:
        >>> lead(torch.tensor([[2.0, 0.5, 1.0], [0.0, 0.5, 3.0]]), 0)
        tensor([ 1., -3.])
    """
    others = torch.cat((scores[..., :target], scores[..., target + 1 :]), dim=-1)
    return scores[..., target] - others.amax(-1)
