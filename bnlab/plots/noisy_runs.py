"""How a network learns, beside how steady the inputs of one of its layers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from bnlab.plots.percentiles import DriftArtists, draw_drift
from bnlab.plots.seeds import SeedArtists, draw_seeds

LOOKS = (("#D55E00", "s", "--"), ("#000000", "^", ":"), ("#0072B2", "o", "-"))
MEASURES = {"shift": "from step to step", "travel": "over the training"}


class NoisyRuns(Protocol):
    """Some kinds of network by name, the one that may change last; one row a seed."""

    @property
    def accuracy(self) -> Mapping[str, Tensor]: ...  # (S, E)
    @property
    def moves(self) -> Mapping[str, Mapping[str, Tensor]]: ...  # by measure and kind, (S)
    @property
    def steps(self) -> Sequence[int]: ...
    @property
    def percentiles(self) -> dict[str, Tensor]: ...  # of one unit in one run, (T, 3)


@dataclass
class NoisyRunsArtists:
    """A line a kind of network, two units' inputs, and a row of dots for each measure and kind."""

    lines: dict[str, SeedArtists]
    drift: DriftArtists
    dots: dict[str, dict[str, Line2D]]

    def update(self, result: NoisyRuns) -> None:
        """Move everything to `result`."""
        for artists, accuracy in zip(self.lines.values(), result.accuracy.values(), strict=True):
            artists.update(accuracy)
        self.drift.update(result)
        for measure, rows in self.dots.items():
            for dots, values in zip(rows.values(), result.moves[measure].values(), strict=True):
                dots.set_xdata(values.numpy())


def draw_noisy_runs(
    figure: Figure, result: NoisyRuns, *, reach: float, furthest: float
) -> NoisyRunsArtists:
    """Draw accuracy by epoch, one unit's input by step, and how far all units' means move.

    Args:
        figure: empty.
        result: three kinds of network, and percentiles of the first and the last of them.
        reach: the inputs are drawn from `-reach` to `reach`.
        furthest: largest move that is drawn.
    """
    grid: Any = figure.subfigures(1, 3, width_ratios=(1.0, 1.0, 1.05))
    left, middle, right = grid
    ax = left.subplots()
    lines = {}
    for (name, accuracy), (color, marker, style) in zip(
        result.accuracy.items(), LOOKS, strict=True
    ):
        epochs = list(range(1, accuracy.shape[1] + 1))
        look = {"color": color, "marker": marker, "linestyle": style}
        lines[name] = draw_seeds(ax, accuracy, epochs, label=name, **look)
        lines[name].mean.set_label(name)
    ax.set(title="How it learns", xlabel="epoch", ylabel="test accuracy", ylim=(0.25, 1.0))
    ax.set_xticks(epochs)
    ax.legend(loc="lower right")

    panels = middle.subplots(2, 1, sharex=True)
    drift = draw_drift(panels, result, reach=reach)
    for panel in panels:
        panel.get_legend().remove()
        panel.set_ylabel("")
        panel.set_title(panel.get_title(loc="left"), size=12)
    panels[0].set_xlabel("")
    middle.supylabel("input of one unit", size=13)

    dots: dict[str, dict[str, Line2D]] = {}
    below = right.subplots(2, 1, sharex=True)
    for panel, (measure, words) in zip(below, MEASURES.items(), strict=True):
        dots[measure] = {}
        for place, (name, values) in enumerate(result.moves[measure].items()):
            color, marker, _ = LOOKS[place]
            heights = -place + torch.linspace(-0.18, 0.18, len(values))
            (dots[measure][name],) = panel.plot(
                values.numpy(), heights.numpy(), color=color, marker=marker, linestyle="", alpha=0.7
            )
        panel.set_yticks([0, -1, -2], list(result.moves[measure]))
        panel.set(xlim=(-0.03 * furthest, furthest), ylim=(-2.5, 0.5))
        panel.set_title(f"Means move {words}", size=12)
        panel.grid(False, axis="y")
    below[-1].set_xlabel("in standard deviations")
    artists = NoisyRunsArtists(lines, drift, dots)
    artists.update(result)
    return artists
