"""Spread of the signal and norm of the gradient, layer by layer, on a scale of powers of ten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

FORWARD, BACKWARD = "#0072B2", "#D55E00"


class Signals(Protocol):
    """One number a layer, forward and backward."""

    @property
    def spread(self) -> Tensor: ...
    @property
    def gradient(self) -> Tensor: ...


@dataclass
class SignalArtists:
    """A line in each panel, and triangles at the edge where the line has left the scale."""

    limits: tuple[float, float]
    lines: tuple[Line2D, Line2D]
    below: tuple[Line2D, Line2D]
    above: tuple[Line2D, Line2D]

    def update(self, result: Signals) -> None:
        """Move both lines to `result`."""
        low, high = self.limits
        for place, numbers in enumerate((result.spread, result.gradient)):
            values = np.nan_to_num(numbers.numpy(), nan=np.inf)
            layers = np.arange(1, len(values) + 1)
            self.lines[place].set_data(layers, values.clip(low, high))
            under, over = layers[values < low], layers[values > high]
            self.below[place].set_data(under, np.full(len(under), low * 2))
            self.above[place].set_data(over, np.full(len(over), high / 2))


def draw_signals(
    axes: tuple[Axes, Axes],
    result: Signals,
    *,
    vanished: float,
    exploded: float,
    deepest: int = 30,
    limits: tuple[float, float] = (1e-12, 1e6),
) -> SignalArtists:
    """Draw the spread of each layer's outputs on the left, their gradient's norm on the right.

    Args:
        axes: left for the way there, right for the way back.
        result: one number a layer, each.
        vanished: below it the zone called vanished is shaded.
        exploded: above it the zone called exploded is shaded.
        deepest: the number of layers to leave room for.
        limits: of the vertical axes; what lies beyond is a triangle at the edge.
    """
    low, high = limits
    titles = ("Forward: spread over the batch", "Backward: norm of the gradient")
    labels = ("layer   (input →)", "layer   (← loss)")
    lines, below, above = [], [], []
    # A signal starts well on its own side, so that the names there stand in nobody's way.
    places, sides = (1, deepest), ("left", "right")
    for ax, title, label, colour, x, side in zip(
        axes, titles, labels, (FORWARD, BACKWARD), places, sides, strict=True
    ):
        ax.set(title=title, xlabel=label, xlim=(0, deepest + 1), ylim=limits, yscale="log")
        ax.set_yticks([10.0**power for power in range(-12, 7, 3)])
        ax.minorticks_off()
        for span, name in (((low, vanished), "vanished"), ((exploded, high), "exploded")):
            ax.axhspan(*span, facecolor="#E8E8E8", hatch="//", edgecolor="white", linewidth=0)
            middle = (span[0] * span[1]) ** 0.5
            box = {"facecolor": "#E8E8E8", "edgecolor": "none", "pad": 1.5}
            ax.text(x, middle, name, ha=side, va="center", color="#444444", bbox=box)
        lines.append(ax.plot([], [], "o-", color=colour, markersize=5, clip_on=False)[0])
        below.append(ax.plot([], [], "v", color="black", markersize=7)[0])
        above.append(ax.plot([], [], "^", color="black", markersize=7)[0])
    artists = SignalArtists(
        limits, (lines[0], lines[1]), (below[0], below[1]), (above[0], above[1])
    )
    artists.update(result)
    return artists
