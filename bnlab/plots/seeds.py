"""Repeated runs: the mean as a line, every run as a dot, all of them inside a band."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from torch import Tensor

from bnlab.plots.percentiles import outline


@dataclass
class SeedArtists:
    """Line through the means, dots for the runs, band from the lowest to the highest."""

    x: Sequence[float]
    mean: Line2D
    dots: Line2D
    band: PolyCollection

    def update(self, result: Tensor) -> None:
        """Move them to other runs, (S, X)."""
        low, high = result.amin(0), result.amax(0)
        self.mean.set_data(self.x, result.mean(0).numpy())
        self.dots.set_data(list(self.x) * len(result), result.flatten().numpy())
        self.band.set_verts([outline(self.x, low.numpy(), high.numpy())])


def draw_seeds(
    axes: Axes,
    result: Tensor,
    x: Sequence[float],
    *,
    label: str,
    color: str,
    marker: str = "o",
    linestyle: str = "-",
) -> SeedArtists:
    """Draw what several seeds gave at each setting.

    Args:
        axes: where to draw.
        result: one row a seed, one column a setting, (S, X).
        x: the settings.
        label: for the legend, which adds the number of seeds.
        color: of line, dots and band.
        marker: of the dots; with `linestyle` it tells lines apart without colour.
        linestyle: of the line.
    """
    if result.dim() != 2 or result.shape[1] != len(x):
        raise ValueError(
            f"result has shape {tuple(result.shape)}: give one row a seed and {len(x)} columns"
        )
    name = f"{label}: mean and range of {len(result)} seeds"
    (mean,) = axes.plot([], [], color=color, linestyle=linestyle, marker=marker, label=name)
    (dots,) = axes.plot([], [], color=color, linestyle="none", marker=marker, alpha=0.5)
    dots.set_markersize(4)
    band = axes.fill_between(x, result.amin(0), result.amax(0), color=color, alpha=0.18)
    artists = SeedArtists(x, mean, dots, band)
    artists.update(result)
    axes.autoscale_view()
    return artists
