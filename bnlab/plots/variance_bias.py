"""Estimates of a variance from few values: divided by n, and by n - 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from torch import Tensor

BIASED, UNBIASED = "#0072B2", "#D55E00"


class Estimates(Protocol):
    """The variance of many batches of n values, biased and unbiased, and the true one."""

    @property
    def biased(self) -> Tensor: ...
    @property
    def unbiased(self) -> Tensor: ...
    @property
    def true(self) -> float: ...


@dataclass
class EstimatesArtists:
    """A histogram each, a line at its mean, and the mean in words."""

    edges: Tensor
    steps: tuple[StepPatch, StepPatch]
    means: tuple[Line2D, Line2D]
    texts: tuple[Text, Text]

    def update(self, result: Estimates) -> None:
        """Move everything to `result`."""
        both = (result.biased, result.unbiased)
        for steps, line, text, values in zip(self.steps, self.means, self.texts, both, strict=True):
            # What lies beyond the axis is counted in its last bin.
            counts = torch.histogram(values.clamp(max=self.edges[-1].item()), self.edges).hist
            mean = values.mean().item()
            steps.set_data((100 * counts / len(values)).numpy())
            line.set_xdata([mean] * 2)
            text.set_text(f"mean {mean:.2f}")


def draw_estimates(
    axes: tuple[Axes, Axes], result: Estimates, *, reach: float = 4.0, top: float = 32.0
) -> EstimatesArtists:
    """Draw both estimates' histograms on one scale, with the true variance.

    Args:
        axes: left for the biased, right for the unbiased estimate.
        result: one value a batch, for each estimate.
        reach: the horizontal axes run from 0 to `reach`; larger values are in the last bin.
        top: the vertical axes run from 0 to `top` per cent.
    """
    edges = torch.linspace(0, reach, 61)
    names = ("divided by n: normalises", "divided by n − 1: is stored")
    steps, means, texts = [], [], []
    for ax, name, colour in zip(axes, names, (BIASED, UNBIASED), strict=True):
        ax.set(title=name, xlabel="variance of a batch", xlim=(0, reach), ylim=(0, top))
        steps.append(ax.stairs([0.0] * 60, edges.numpy(), fill=True, color=colour, alpha=0.6))
        ax.axvline(result.true, color="black", linewidth=1.6, label="true variance")
        means.append(ax.axvline(0, color=colour, linestyle="--", label="mean over batches"))
        texts.append(ax.text(0.97, 0.6, "", transform=ax.transAxes, ha="right", size=16))
        ax.legend(loc="upper right")
    axes[0].set_ylabel("share of batches (%)")
    artists = EstimatesArtists(
        edges, (steps[0], steps[1]), (means[0], means[1]), (texts[0], texts[1])
    )
    artists.update(result)
    return artists
