"""The gammas of trained networks in order, and the accuracy as more and more units are cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import Tensor

from bnlab.plots.gaps import join_curves
from bnlab.plots.layers import change
from bnlab.plots.seeds import SeedArtists, draw_seeds

COLOURS, MARKERS = ("#0072B2", "#000000", "#D55E00"), ("o", "s", "^")
SIGNS, LINES = ("●", "■", "▲"), ("-", "--", ":")


class Pruning(Protocol):
    """Ascending gammas by seed, (S, U); a share; by order of cutting the accuracy, (S, P)."""

    @property
    def gamma(self) -> Tensor: ...
    @property
    def share(self) -> float: ...
    @property
    def accuracy(self) -> Mapping[str, Tensor]: ...


@dataclass
class PruningArtists:
    """All seeds' gammas as one line with gaps; by order dots, and words for the share."""

    shares: Sequence[float]
    gammas: Line2D
    curves: dict[str, SeedArtists]
    words: dict[str, Text]
    cursor: Line2D

    def update(self, result: Pruning) -> None:
        """Move everything to `result`."""
        units = torch.arange(1, result.gamma.shape[1] + 1)
        self.gammas.set_data(*join_curves(units, result.gamma))
        place = self.shares.index(result.share)
        for (order, accuracy), sign in zip(result.accuracy.items(), SIGNS, strict=True):
            self.curves[order].update(100 * accuracy)
            here = 100 * accuracy[:, place]
            words = f"{sign} {order}: {here.mean():.1f} ± {here.std():.1f} %"
            change(self.words[order], text=words)
        self.cursor.set_xdata([100 * result.share] * 2)


def draw_pruning(
    axes: Sequence[Axes], result: Pruning, shares: Sequence[float], *, highest: float
) -> PruningArtists:
    """Draw the gammas of all units on the left, accuracy against the share cut on the right.

    Args:
        axes: the two.
        result: three orders of cutting.
        shares: what the columns of the accuracies are for.
        highest: the largest gamma to leave room for.
    """
    left, right = axes
    seeds, units = result.gamma.shape
    left.set(xlim=(0, units + 1), ylim=(0, 1.05 * highest), ylabel="|γ|")
    left.set_xlabel(f"units in order, {seeds} seeds")
    (gammas,) = left.plot([], [], color="#0072B2", linewidth=1.6)
    right.set(xlim=(-3, 103), ylim=(0, 103), xlabel="units cut (%)", ylabel="test accuracy (%)")
    # The words stand above the panel; an empty title keeps their place.
    right.set_title("\n" * len(result.accuracy), linespacing=1.35, size=13)
    percent = [100 * share for share in shares]
    cursor = right.axvline(0, color="black", linewidth=1.2, linestyle=(0, (2, 2)))
    artists = PruningArtists(shares, gammas, {}, {}, cursor)
    looks = zip(result.accuracy.items(), COLOURS, MARKERS, LINES, strict=True)
    for row, ((order, accuracy), colour, marker, line) in enumerate(looks):
        look = {"color": colour, "marker": marker, "linestyle": line}
        artists.curves[order] = draw_seeds(right, 100 * accuracy, percent, label=order, **look)
        style: dict[str, Any] = {"transform": right.transAxes, "color": colour, "size": 13}
        below = len(result.accuracy) - 1 - row
        artists.words[order] = right.text(0, 1.04 + 0.085 * below, "", va="bottom", **style)
    artists.update(result)
    return artists
