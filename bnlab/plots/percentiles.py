"""How one unit's input is spread over a batch, while the network trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from torch import Tensor

COLOURS = ("#D55E00", "#0072B2", "#009E73")


class Drift(Protocol):
    """Three percentiles of one unit at each recorded step, (S, 3), for each run by name."""

    @property
    def steps(self) -> Sequence[int]: ...
    @property
    def percentiles(self) -> dict[str, Tensor]: ...


def outline(x: Sequence[float] | np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The corners of the band between `low` and `high`, (2X, 2)."""
    return np.concatenate([np.column_stack([x, low]), np.column_stack([x, high])[::-1]])


@dataclass
class DriftArtists:
    """A median with a band around it in each panel."""

    bands: Sequence[PolyCollection]
    medians: list[Line2D]

    def update(self, result: Drift) -> None:
        """Move every band and median to `result`."""
        steps = np.asarray(result.steps)
        for band, median, rows in zip(
            self.bands, self.medians, result.percentiles.values(), strict=True
        ):
            low, middle, high = rows.T.numpy()
            band.set_verts([outline(steps, low, high)])
            median.set_data(steps, middle)


def draw_drift(axes: Sequence[Axes], result: Drift, *, reach: float) -> DriftArtists:
    """Draw the 50th percentile as a line and the 15th to the 85th as a band, one panel a run.

    Args:
        axes: one for each run.
        result: what to draw.
        reach: the vertical axes run from `-reach` to `reach`.
    """
    bands, medians = [], []
    for ax, name, colour in zip(axes, result.percentiles, COLOURS, strict=False):
        ax.set(title=name, xlabel="step", xlim=(0, max(result.steps)), ylim=(-reach, reach))
        nothing = np.zeros(len(result.steps))
        bands.append(
            ax.fill_between(result.steps, nothing, nothing, color=colour, alpha=0.3, linewidth=0)
        )
        (median,) = ax.plot([], [], color=colour, linewidth=1.6)
        medians.append(median)
        ax.legend([median, bands[-1]], ["50th percentile", "15th to 85th"], loc="upper left")
    axes[0].set_ylabel("input of the unit's sigmoid")
    artists = DriftArtists(bands, medians)
    artists.update(result)
    return artists
