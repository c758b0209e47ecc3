"""Histograms of what the layers of a network put out, one panel a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from torch import Tensor

COLOUR = "#0072B2"


class Activations(Protocol):
    """Counts and their bins for each layer, by name, and the spread over the batch."""

    @property
    def counts(self) -> dict[str, Tensor]: ...
    @property
    def edges(self) -> dict[str, Tensor]: ...
    @property
    def spread(self) -> dict[str, float]: ...


@dataclass
class ActivationArtists:
    """A histogram and the spread as a number, for each layer."""

    bins: np.ndarray
    steps: list[StepPatch]
    labels: list[Text]

    def update(self, result: Activations) -> None:
        """Move the histograms to `result`."""
        for steps, label, name in zip(self.steps, self.labels, result.counts, strict=True):
            # The recorded bins follow the data; those of the picture must stand still.
            total = np.concatenate([[0.0], result.counts[name].double().cumsum(0).numpy()])
            share = np.interp(self.bins, result.edges[name].double().numpy(), total / total[-1])
            steps.set_data(100 * np.diff(share))
            label.set_text(f"spread {result.spread[name]:.3f}")


def draw_activations(
    axes: Sequence[Axes], result: Activations, *, low: float = 0.0, high: float = 1.0
) -> ActivationArtists:
    """Draw one histogram a layer, on one scale.

    Args:
        axes: one for each layer.
        result: counts in bins of any width.
        low: left end of the horizontal axes.
        high: right end.
    """
    bins = np.linspace(low, high, 21)
    steps, labels = [], []
    for ax, name in zip(axes, result.counts, strict=True):
        ax.set(title=name, xlabel="output", xlim=(low, high), ylim=(0, 100))
        ax.set_xticks([low, (low + high) / 2, high])
        steps.append(ax.stairs(np.zeros(20), bins, fill=True, color=COLOUR, alpha=0.75))
        labels.append(ax.text(0.04, 0.9, "", transform=ax.transAxes, fontsize=13))
    axes[0].set_ylabel("share of outputs (%)")
    artists = ActivationArtists(bins, steps, labels)
    artists.update(result)
    return artists
