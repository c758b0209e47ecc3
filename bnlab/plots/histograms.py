"""Histograms before and after normalising."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from torch import Tensor

BEFORE, AFTER = "#D55E00", "#0072B2"


class BeforeAfter(Protocol):
    """A batch of numbers as it came and as it went."""

    @property
    def before(self) -> Tensor: ...
    @property
    def after(self) -> Tensor: ...


@dataclass
class BeforeAfterArtists:
    """One histogram each, with a dashed line at its mean."""

    edges: Tensor
    steps: tuple[StepPatch, StepPatch]
    means: tuple[Line2D, Line2D]

    def update(self, result: BeforeAfter) -> None:
        """Move both histograms and both lines to `result`."""
        for steps, line, values in zip(
            self.steps, self.means, (result.before, result.after), strict=True
        ):
            counts = torch.histogram(values.flatten().float(), self.edges).hist
            steps.set_data((100 * counts / values.numel()).numpy())
            line.set_xdata([values.mean().item()] * 2)


def draw_before_after(
    axes: tuple[Axes, Axes], result: BeforeAfter, *, reach: float = 10.0, top: float = 30.0
) -> BeforeAfterArtists:
    """Draw two histograms on one scale, `result.before` and `result.after`.

    Args:
        axes: left for before, right for after.
        result: two tensors; every value is counted, whatever its shape.
        reach: the horizontal axes run from `-reach` to `reach`.
        top: the vertical axes run from 0 to `top` per cent.
    """
    edges = torch.linspace(-reach, reach, 81)
    names, colours = ("Before", "After"), (BEFORE, AFTER)
    steps, means = [], []
    for ax, name, colour in zip(axes, names, colours, strict=True):
        ax.set(title=name, xlabel="value", xlim=(-reach, reach), ylim=(0, top))
        steps.append(ax.stairs([0.0] * 80, edges.numpy(), fill=True, color=colour, alpha=0.75))
        means.append(ax.axvline(0, color="black", linestyle="--", linewidth=1.6, label="mean"))
        ax.legend(loc="upper right")
    axes[0].set_ylabel("share of values (%)")
    artists = BeforeAfterArtists(edges, (steps[0], steps[1]), (means[0], means[1]))
    artists.update(result)
    return artists
