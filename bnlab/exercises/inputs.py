"""Inputs on which mistakes show: unequal axes, means far from 0, gamma and beta off 1 and 0."""

from __future__ import annotations

import math

import torch
from torch import Tensor

EPS, MOMENTUM = 0.5, 0.3
"""Neither library's defaults, and large enough to be seen in three decimals."""
FAR = 32768.0
"""In float32 the square of a number this large has no digits left for a variance of 1."""


def column() -> Tensor:
    """Three values of one channel, (3, 1)."""
    return torch.tensor([[1.0], [3.0], [8.0]])


def two_channels() -> Tensor:
    """Three samples of two channels, (3, 2)."""
    return torch.tensor([[1.0, 10.0], [3.0, 40.0], [8.0, 10.0]])


def other_channels() -> Tensor:
    """Two samples of two channels to evaluate, (2, 2)."""
    return torch.tensor([[2.0, 30.0], [6.0, 10.0]])


def cube() -> Tensor:
    """Batch, channels and last axis of the same size, (2, 2, 1, 2): gamma fits to any of them."""
    return torch.tensor([[[[1.0, 2.0]], [[3.0, 7.0]]], [[[4.0, 9.0]], [[0.0, 5.0]]]])


def square() -> Tensor:
    """All axes of the same size, (2, 2, 2, 2): a mean for each of any axis fits the channels."""
    return torch.cat([cube(), cube().square() * 0.5], dim=2)


def images(channels: int = 3, seed: int = 0) -> Tensor:
    """Axes of four sizes and channels of different means and spreads, (5, C, 2, 4)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(5, channels, 2, 4, generator=generator)
    spread = torch.linspace(0.5, 2.0, channels).view(1, -1, 1, 1)
    return x * spread + torch.linspace(3.0, 12.0, channels).view(1, -1, 1, 1) + x[:1] * 0.5


def gamma(channels: int) -> Tensor:
    """Scales away from 1, all different."""
    return 2.0 + 0.75 * torch.arange(channels)


def beta(channels: int) -> Tensor:
    """Shifts away from 0, all different."""
    return -1.0 + 1.25 * torch.arange(channels)


def upstream(x: Tensor) -> Tensor:
    """A gradient from above, different for every entry and of no simple mean."""
    steps = torch.arange(x.numel(), dtype=torch.float64)
    return (torch.sin(1.7 * steps) + 0.3 * torch.cos(0.31 * steps * steps) + 0.4).to(x).view_as(x)


def sixteenths() -> Tensor:
    """Values that stay exact in float32 when `FAR` is added, (6, 2, 2, 3)."""
    x = images(2, seed=3)[:, :, :, :3]
    x = torch.cat([x, x[:1].flip(2)])
    return (x * 16).round() / 16


def in_dimensions(x: Tensor, dim: int) -> Tensor:
    """View (N, C, H, W) with fewer or more axes behind the channels; (N, C) has N·H·W samples."""
    n, c = x.shape[:2]
    if dim == 2:
        return x.transpose(0, 1).reshape(c, -1).T.contiguous()
    if dim == 3:
        return x.reshape(n, c, -1)
    if dim == 5:
        *others, last = x.shape[2:]
        return x.reshape(n, c, *others, -1, 2 - last % 2)
    return x


def back_to_images(y: Tensor, like: Tensor) -> Tensor:
    """Undo `in_dimensions`."""
    if y.dim() == 2:
        n, c = like.shape[:2]
        return y.T.reshape(c, n, math.prod(like.shape[2:])).transpose(0, 1).reshape(like.shape)
    return y.reshape(like.shape)
