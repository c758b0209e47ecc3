"""Running statistics warm up: how soon, and how quietly, depends on three settings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnlab import data
from bnlab.apps.controls import Slider
from bnlab.apps.live import Live
from bnlab.functional import moments, update_running
from bnlab.plots.running_statistics import WarmupArtists, draw_warmup

MEAN, STD, STEPS, LARGEST, CHANNELS = 3.0, 2.0, 120, 128, 6


@dataclass(frozen=True)
class Path:
    """A running statistic after 0, 1, 2, ... steps, in several channels that see the same law."""

    paths: Tensor
    expected: Tensor
    true: float


@dataclass(frozen=True)
class Warmup:
    """The running mean and the running variance, and the share of the start still in them."""

    mean: Path
    var: Path
    start_left: float


class RunningStatistics(Live[Warmup]):
    """Batches from one law, and the exponential moving average that train mode keeps of them."""

    title = "Running statistics warm up from mean 0 and variance 1"
    size = (8.6, 3.4)
    controls = (
        Slider("momentum", "momentum", [0.01, 0.03, 0.1, 0.3, 1.0], 0.1),
        Slider("steps", "steps", [0, 1, 2, 3, 5, 10, 20, 30, 50, 80, STEPS], 50),
        Slider("batch_size", "batch size", [2, 4, 8, 16, 32, 64, LARGEST], 16),
    )

    def __init__(self, **start: float) -> None:
        super().__init__(**start)
        # Each step's samples lie along dimension 1, so that a smaller batch is a part of a larger.
        shape = (STEPS * LARGEST, CHANNELS)
        self.samples = data.synthetic(shape, MEAN, STD).view(STEPS, LARGEST, CHANNELS)

    def compute(self, momentum: float, steps: int, batch_size: int) -> Warmup:
        batches = self.samples[:steps, :batch_size]
        mean, var = (values.squeeze(1) for values in moments(batches, dim=1))
        unbiased = var * batch_size / (batch_size - 1)
        # All in one recursion, for speed: the channels' means and variances, the expectation of
        # either, and what is left of a start of 1 under batches of 0.
        exact = torch.tensor([MEAN, STD**2, 0.0]).expand(steps, 3)
        start = torch.cat((torch.zeros(CHANNELS), torch.ones(CHANNELS), torch.tensor([0, 1, 1])))
        path = average(torch.cat((mean, unbiased, exact), dim=1), start, momentum)
        means, variances, exact = path.split((CHANNELS, CHANNELS, 3), dim=1)
        return Warmup(
            Path(means, exact[:, 0], MEAN),
            Path(variances, exact[:, 1], STD**2),
            exact[-1, 2].item(),
        )

    def draw(self, figure: Figure, result: Warmup) -> WarmupArtists:
        left, right = figure.subplots(1, 2)
        return draw_warmup((left, right), result, steps=STEPS)

    def describe(self, result: Warmup) -> str:
        mean, var = result.mean, result.var
        return (
            f"After {len(mean.paths) - 1} steps running_mean is {mean.paths[-1, 0].item():.2f} "
            f"(expected {mean.expected[-1].item():.2f}, the data's own {mean.true:g}) and "
            f"running_var {var.paths[-1, 0].item():.2f} (expected "
            f"{var.expected[-1].item():.2f}, the data's own {var.true:g})."
        )


def average(batches: Tensor, start: Tensor, momentum: float) -> Tensor:
    """The running value at the start and after each of `batches`.

    The expectation of a moving average is the moving average of the expectations, so that the
    same recursion gives both.
    """
    running = start.clone()
    path = [start]
    for batch in batches:
        update_running(running, batch, momentum)
        path.append(running.clone())
    return torch.stack(path)
