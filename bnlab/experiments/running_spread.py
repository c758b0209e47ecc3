"""How much running means wander, by how many samples each update has and how often it comes."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bnlab.models.partial import find_batch_norms


@dataclass(frozen=True, eq=False)
class Course:
    """A running mean along a training whose weights rest.

    Attributes:
        values: Of one channel after each of the last steps, in units of that channel's standard
            deviation, its true mean taken off, (T).
        spread: Standard deviation over the steps, root mean square over all channels.
    """

    values: Tensor
    spread: float


@dataclass(frozen=True, eq=False)
class Running:
    """The same digits, in three ways of updating.

    Attributes:
        large: Once a step, with the mean of the large batch.
        accumulated: By every micro-batch, with the same momentum.
        adapted: The same with the momentum of `adapt_momentum`.
    """

    large: Course
    accumulated: Course
    adapted: Course


def adapt_momentum(momentum: float, count: int) -> float:
    r"""Return the momentum with which `count` updates forget as much as one did before.

    .. math::
        m' = 1 - (1 - m)^{1/k}

    Args:
        momentum: :math:`m`, in torch's convention.
        count: :math:`k`, the micro-batches in a step.

    Example:
        >>> round(adapt_momentum(0.1, 8), 4)
        0.0131
        >>> round((1 - adapt_momentum(0.1, 8)) ** 8, 4)
        0.9
    """
    return float(1 - (1 - momentum) ** (1 / count))


def standardised_inputs(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return what reaches the first batch norm, each channel with mean 0 and deviation 1.

    Args:
        model: With a batch norm that takes :math:`(N, C)`; left as it is.
        inputs: The samples.

    Shape:
        - output: :math:`(N, C)`
    """
    arrived = into_first_norm(model, inputs)
    return (arrived - arrived.mean(0)) / arrived.std(0)


@torch.no_grad()
def into_first_norm(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return what reaches the first batch norm in eval mode.

    Args:
        model: With a batch norm; left as it is.
        inputs: The samples.

    Raises:
        ValueError: There is no batch norm.

    Example:
        >>> from bnlab.models import two_layer
        >>> into_first_norm(two_layer(nn.BatchNorm1d), torch.zeros(3, 10)).shape
        torch.Size([3, 20])
    """
    arrived: list[Tensor] = []
    copied = copy.deepcopy(model).eval()
    norm = find_batch_norms(copied)[0]
    norm.register_forward_pre_hook(lambda _, args: arrived.append(args[0]))
    copied(inputs)
    return arrived[0]


def watch_running(
    values: Tensor,
    micro: int,
    count: int,
    *,
    momentum: float = 0.1,
    steps: int = 200,
    shown: int = 60,
) -> Running:
    r"""Follow the running means while batches are drawn with replacement.

    One update a step spreads by :math:`\sigma \sqrt{m / (2 - m)} / \sqrt{nk}`, for `count`
    :math:`k` micro-batches of `micro` :math:`n` samples. With an update for every micro-batch it
    is :math:`\sqrt{k}` times as much.

    Args:
        values: Standardised, as `standardised_inputs` gives them.
        micro: Samples in a micro-batch.
        count: Micro-batches in a step.
        momentum: Of the running statistics.
        steps: How many are taken, from the true mean.
        shown: How many of them, the last ones, are kept; the spread is taken over all but the
            first 30.

    Shape:
        - values: :math:`(N, C)`

    Example:
        >>> values = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0)).double()
        >>> values = (values - values.mean(0)) / values.std(0)
        >>> running = watch_running(values, 4, 16)
        >>> round(running.accumulated.spread / running.large.spread)
        4
    """
    order = torch.Generator().manual_seed(0)
    rows = torch.randint(len(values), (steps, count, micro), generator=order)
    means = torch.stack([values[step].mean(1) for step in rows])
    large = _average(means.mean(1, keepdim=True), momentum)
    accumulated = _average(means, momentum)
    adapted = _average(means, adapt_momentum(momentum, count))
    return Running(*(_follow(course, shown) for course in (large, accumulated, adapted)))


def _follow(course: Tensor, shown: int) -> Course:
    return Course(course[-shown:, 0], course[30:].square().mean().sqrt().item())


def _average(means: Tensor, momentum: float) -> Tensor:
    """The running mean after each step, from a row of updates a step."""
    updates = means.shape[1]
    kept = (1 - momentum) ** torch.arange(updates - 1, -1, -1, dtype=means.dtype)
    news = momentum * (kept[:, None] * means).sum(1)
    running, course = torch.zeros_like(news[0]), []
    for new in news:
        running = (1 - momentum) ** updates * running + new
        course.append(running)
    return torch.stack(course)
