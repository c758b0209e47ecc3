"""What is seen of a function that normalises, or moves running statistics, if it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bnlab import data
from bnlab.data import Dataset

Forward = Callable[[Tensor, Tensor, Tensor, float], Tensor]
Update = Callable[..., tuple[Tensor, Tensor] | None]
SIZES = (2, 3, 4, 6, 8, 16, 32, 64)
EPS = 1e-5


def normalise(forward: Forward, x: Tensor, eps: float = EPS) -> Tensor:
    """Let a function normalise with a scale of 1 and a shift of 0; the input stays as it is.

    Args:
        forward: `fn(x, weight, bias, eps)`, a forward pass.
        x: The input.
        eps: Passed on.

    Shape:
        - x and output: :math:`(N, C)` or :math:`(N, C, *)`

    Example:
        >>> x = torch.tensor([[1.0], [3.0]])
        >>> normalise(lambda x, weight, bias, eps: weight * (x - x.mean(0)), x)
        tensor([[-1.],
                [ 1.]])
    """
    c = x.shape[1]
    return forward(x.clone(), torch.ones(c), torch.zeros(c), eps)


def channel_moments(forward: Forward, digits: Dataset) -> Tensor:
    """Return mean and standard deviation of each of eight normalised channels.

    Args:
        forward: `fn(x, weight, bias, eps)`, a forward pass.
        digits: As images.

    Shape:
        - output: means in the first row, (2, 8)
    """
    y = normalise(forward, eight_channels(digits))
    return torch.stack((y.mean((0, 2, 3)), y.std((0, 2, 3), correction=0)))


def feature_map(forward: Forward, digits: Dataset) -> Tensor:
    """Return the first of eight channels of a 0, normalised, scaled and shifted.

    Args:
        forward: `fn(x, weight, bias, eps)`, a forward pass.
        digits: As images.

    Shape:
        - output: (H, W), 8 by 8: as many columns as there are channels
    """
    draws = torch.Generator().manual_seed(0)
    weight, bias = 1 + 0.5 * torch.randn(8, generator=draws), 1.5 * torch.randn(8, generator=draws)
    zero = int((digits.test.targets == 0).nonzero()[0])
    return forward(eight_channels(digits), weight, bias, EPS)[zero, 0]


def eight_channels(digits: Dataset) -> Tensor:
    """Return what an untrained convolution finds in 64 digits.

    Shape:
        - output: (64, 8, 8, 8)
    """
    draws = torch.Generator().manual_seed(1)
    kernels = torch.randn(8, 1, 3, 3, generator=draws)
    bias = 2 * torch.randn(8, generator=draws)
    return torch.nn.functional.conv2d(digits.test.inputs[:64], kernels, bias, padding=1)


def spread_by_size(forward: Forward) -> Tensor:
    """Return the standard deviation of what comes out of batches of each of `SIZES`.

    Args:
        forward: `fn(x, weight, bias, eps)`, a forward pass.

    Shape:
        - output: a mean over 500 channels for each size, (8)
    """
    x = data.synthetic((max(SIZES), 500))
    outputs = [normalise(forward, x[:n]) for n in SIZES]
    return torch.stack([y.std(0, correction=0).mean() for y in outputs])


def pixel_spread(forward: Forward, digits: Dataset) -> Tensor:
    """Return the standard deviation of each normalised pixel of digits with a sensor's faint noise.

    Args:
        forward: `fn(x, weight, bias, eps)`, a forward pass.
        digits: As images.

    Shape:
        - output: (8, 8)
    """
    x = digits.train.inputs.flatten(1)
    noise = data.synthetic(x.shape, std=1e-4)
    return normalise(forward, x + noise).std(0, correction=0).view(8, 8)


def inputs_at(mean: float, n: int) -> Tensor:
    """Return values of spread 1 about a mean, in float32.

    Args:
        mean: Of the distribution.
        n: How many.

    Shape:
        - output: (n, 1)
    """
    return mean + data.synthetic((n, 1), seed=1)


def outputs_at(forward: Forward, x: Tensor) -> Tensor:
    """Return what comes out of one channel.

    Args:
        forward: `fn(x, weight, bias, eps)`, a forward pass.
        x: What goes in.

    Shape:
        - x: (n, 1); output: (n)
    """
    return normalise(forward, x).squeeze(1)


def mean_path(update: Update, x: Tensor, momentum: float = 0.1, size: int = 16) -> Tensor:
    """Return the running mean of the first channel at the start and after each batch.

    Args:
        update: `fn(running_mean, running_var, x, momentum)`, which returns the new two or changes
            them in place.
        x: All samples, in their order.
        momentum: Passed on.
        size: Samples in a batch; the last one may be smaller.

    Shape:
        - x: (N, C); output: (T)

    Example:
        >>> def update(running_mean, running_var, x, momentum):
        ...     return running_mean.lerp(x.mean(0), momentum), running_var
        >>> mean_path(update, torch.ones(32, 1), momentum=0.5)
        tensor([0.0000, 0.5000, 0.7500])
    """
    return _paths(update, x, momentum, size)[0][:, 0]


def variance_path(update: Update, x: Tensor, momentum: float = 0.1, size: int = 4) -> Tensor:
    """Return the running variance at the start and after each batch, averaged over channels.

    Args:
        update: As for `mean_path`.
        x: All samples, in their order.
        momentum: Passed on.
        size: Samples in a batch.

    Shape:
        - x: (N, C); output: (T)
    """
    return _paths(update, x, momentum, size)[1].mean(1)


def _paths(update: Update, x: Tensor, momentum: float, size: int) -> tuple[Tensor, Tensor]:
    c = x.shape[1]
    now: Any = (torch.zeros(c), torch.ones(c))
    path = [now]
    for batch in x.split(size):
        mean, var = (each.clone() for each in now)
        # As the exercise allows: new ones are returned, or the old ones changed in place.
        now = update(mean, var, batch.clone(), momentum) or (mean, var)
        path.append(tuple(each.clone() for each in now))
    means, variances = zip(*path, strict=True)
    return torch.stack(means), torch.stack(variances)
