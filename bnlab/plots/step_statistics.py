"""What statistics for each step of a sequence are made of: how many samples, how much noise."""

from __future__ import annotations

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

COUNT, NOISE, EXPECTED = "#0072B2", "#D55E00", "#000000"


def draw_reach(ax: Axes, counts: Tensor) -> Line2D:
    """Draw how many sequences of a batch reach each step: mean, and range over the batches.

    Args:
        ax: where to draw.
        counts: one row a batch, one column a step, (B, L).
    """
    steps = torch.arange(1, counts.shape[1] + 1).numpy()
    (mean,) = ax.plot(steps, counts.float().mean(0).numpy(), color=COUNT, label="mean")
    low, high = counts.amin(0).numpy(), counts.amax(0).numpy()
    name = f"range of {len(counts)} batches"
    ax.fill_between(steps, low, high, color=COUNT, alpha=0.25, linewidth=0, label=name)
    ax.set(xlabel="step", ylabel="sequences that reach it", xlim=(0, len(steps)))
    ax.set_ylim(bottom=0)
    ax.legend()
    return mean


def draw_noise(ax: Axes, measured: Tensor, expected: Tensor) -> tuple[Line2D, Line2D]:
    r"""Draw the spread over batches of each step's batch mean beside :math:`\sigma / \sqrt{n}`.

    Args:
        ax: where to draw.
        measured: one value a step, NaN where no batch has one, (L).
        expected: the same from the number of sequences, (L).
    """
    steps = torch.arange(1, len(measured) + 1).numpy()
    (points,) = ax.plot(steps, measured.numpy(), "o", color=NOISE, label="measured")
    (line,) = ax.plot(steps, expected.numpy(), "--", color=EXPECTED, label="expected, σ/√n")
    ax.set(xlabel="step", ylabel="std of the batch mean", xlim=(0, len(steps)))
    ax.set_ylim(bottom=0)
    ax.legend(loc="lower right")
    return points, line
