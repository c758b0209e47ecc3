"""The gradient's squared norm at each layer of a deep network, beside what theory says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import Tensor

from bnlab.plots.gaps import join_curves

MEASURED, THEORY = "#0072B2", "#D55E00"


class Growth(Protocol):
    """By seed the energy at each layer, (S, L), and the factor per layer, (S); and the theory's."""

    @property
    def energy(self) -> Tensor: ...
    @property
    def growth(self) -> Tensor: ...
    @property
    def theory(self) -> float: ...


@dataclass
class GrowthArtists:
    """All seeds as one line with gaps, the line of the theory, and both factors in words."""

    seeds: Line2D
    theory: Line2D
    text: Text

    def update(self, result: Growth) -> None:
        """Move both lines to `result`."""
        depth = result.energy.shape[1]
        layers = torch.arange(1, depth + 1)
        self.seeds.set_data(*join_curves(layers, result.energy))
        self.theory.set_data(layers.numpy(), (result.theory ** (depth - layers)).numpy())
        mean, spread = result.growth.mean(), result.growth.std()
        self.text.set_text(f"measured: × {mean:.3f} ± {spread:.3f} a layer")


def draw_growth(
    ax: Axes, result: Growth, *, deepest: int, limits: tuple[float, float] = (1e-1, 1e10)
) -> GrowthArtists:
    """Draw the energy at each layer, relative to the last one's, on a scale of powers of ten.

    Args:
        ax: where to draw.
        result: at least two seeds.
        deepest: the number of layers to leave room for.
        limits: ends of the vertical axis.
    """
    ax.set(xlim=(0, deepest + 1), ylim=limits, yscale="log", xlabel="layer   (input →,  ← loss)")
    ax.set_ylabel("‖gradient‖²,\nlast layer = 1")
    ax.minorticks_off()
    label = f"measured, {len(result.energy)} seeds"
    (seeds,) = ax.plot([], [], color=MEASURED, linewidth=1.4, alpha=0.8, label=label)
    label = f"theory: × {result.theory:.3f} a layer"
    (theory,) = ax.plot([], [], color=THEORY, linestyle="--", label=label)
    text = ax.text(0.98, 0.68, "", transform=ax.transAxes, ha="right", color=MEASURED, size=14)
    ax.legend(loc="upper right")
    artists = GrowthArtists(seeds, theory, text)
    artists.update(result)
    return artists
