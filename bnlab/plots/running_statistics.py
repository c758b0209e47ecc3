"""Running statistics on their way from (0, 1) to the data's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import Tensor

PATH, EXPECTED, TRUE = "#0072B2", "#D55E00", "#000000"


class Path(Protocol):
    """A running statistic after 0, 1, 2, ... steps, in several channels that see the same law."""

    @property
    def paths(self) -> Tensor: ...
    @property
    def expected(self) -> Tensor: ...
    @property
    def true(self) -> float: ...


@dataclass
class PathArtists:
    """One channel drawn strongly, the others faintly, and the exact expectation, dashed."""

    first: Line2D
    others: Line2D
    expected: Line2D

    def update(self, path: Path) -> None:
        """Move the lines to `path`."""
        steps = torch.arange(len(path.paths))
        self.first.set_data(steps.numpy(), path.paths[:, 0].numpy())
        self.expected.set_data(steps.numpy(), path.expected.numpy())
        rest = path.paths[:, 1:]
        gap = torch.full((1, rest.shape[1]), torch.nan)
        joined = torch.cat((rest, gap)).T.flatten()
        places = torch.cat((steps, steps[-1:])).repeat(rest.shape[1])
        self.others.set_data(places.numpy(), joined.numpy())


class Warmup(Protocol):
    """The running mean and the running variance, and the share of the start still in them."""

    @property
    def mean(self) -> Path: ...
    @property
    def var(self) -> Path: ...
    @property
    def start_left(self) -> float: ...


@dataclass
class WarmupArtists:
    """Both statistics, and what is left of the start, in words."""

    mean: PathArtists
    var: PathArtists
    left: Text

    def update(self, result: Warmup) -> None:
        """Move everything to `result`."""
        self.mean.update(result.mean)
        self.var.update(result.var)
        self.left.set_text(f"{100 * result.start_left:.1f} %")


def draw_warmup(axes: tuple[Axes, Axes], result: Warmup, *, steps: int) -> WarmupArtists:
    """Draw the running mean and the running variance against the steps taken.

    Args:
        axes: left for the mean, right for the variance.
        result: simulated paths, their expectation and the data's own value, for each.
        steps: how far the horizontal axes reach.
    """
    artists = []
    for ax, name, path in zip(
        axes, ("running_mean", "running_var"), (result.mean, result.var), strict=True
    ):
        ax.set(title=name, xlabel="train-mode steps", xlim=(0, steps), ylim=(0, 1.6 * path.true))
        ax.axhline(path.true, color=TRUE, linewidth=1.4, label="the data's own")
        others = Line2D([], [], color=PATH, linewidth=0.9, alpha=0.45, label="other channels")
        first = Line2D([], [], color=PATH, label="one channel")
        expected = Line2D([], [], color=EXPECTED, linestyle="--", label="exact expectation")
        for line in (others, first, expected):
            ax.add_line(line)
        artists.append(PathArtists(first, others, expected))
    axes[1].legend(loc="lower right", ncols=2, fontsize=11)
    # The words stand still and only the number moves: what travels at each move is smaller.
    words: dict[str, Any] = {"transform": axes[0].transAxes, "ha": "right", "size": 12}
    axes[0].text(0.82, 0.04, "share of the start still in it:", **words)
    left = axes[0].text(0.98, 0.04, "", **words)
    warmup = WarmupArtists(artists[0], artists[1], left)
    warmup.update(result)
    return warmup
