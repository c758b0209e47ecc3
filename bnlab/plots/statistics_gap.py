"""Accuracy by the statistics used: the batch's own, the moving average, or recalibrated ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import Tensor

NAMES = ("the batch's own", "moving average", "recalibrated")
MODES = ("train mode", "eval mode", "eval mode")
COLOURS, MARKERS = ("#D55E00", "#0072B2", "#009E73"), ("o", "s", "D")


class Accuracies(Protocol):
    """Accuracy of each seed (rows) with each of the three kinds of statistics (columns)."""

    @property
    def accuracy(self) -> Tensor: ...


@dataclass
class AccuraciesArtists:
    """A dot a seed, a bar at the mean, the mean in words."""

    dots: tuple[Line2D, ...]
    means: tuple[Line2D, ...]
    texts: tuple[Text, ...]

    def update(self, result: Accuracies) -> None:
        """Move everything to `result`."""
        columns = result.accuracy.T
        for dots, line, text, values in zip(
            self.dots, self.means, self.texts, columns, strict=True
        ):
            mean = values.mean().item()
            dots.set_ydata(values.numpy())
            line.set_ydata([mean, mean])
            text.set_text(f"{100 * mean:.1f} %")
            text.set_y(mean)


def draw_accuracies(ax: Axes, result: Accuracies, *, low: float = 0.0) -> AccuraciesArtists:
    """Draw each seed's accuracy, one group for each kind of statistics.

    Args:
        ax: where to draw.
        result: one row a seed; columns in the order of `NAMES`.
        low: lower end of the vertical axis.
    """
    seeds = len(result.accuracy)
    ax.set(xlim=(-0.5, 2.7), ylim=(low, 1.0), ylabel="test accuracy")
    ax.set_xticks(range(3), [f"{name}\n({mode})" for name, mode in zip(NAMES, MODES, strict=True)])
    ax.grid(False, axis="x")
    dots, means, texts = [], [], []
    for place, (colour, marker) in enumerate(zip(COLOURS, MARKERS, strict=True)):
        spread = place + torch.linspace(-0.12, 0.12, seeds)
        style: dict[str, Any] = {"color": colour, "linestyle": "", "marker": marker, "alpha": 0.7}
        (points,) = ax.plot(spread.numpy(), [0.0] * seeds, **style)
        (line,) = ax.plot([place - 0.25, place + 0.25], [0, 0], color=colour, linewidth=3)
        dots.append(points)
        means.append(line)
        texts.append(ax.text(place + 0.29, 0, "", va="center", size=14, color=colour))
    artists = AccuraciesArtists(tuple(dots), tuple(means), tuple(texts))
    artists.update(result)
    return artists


def draw_gap(ax: Axes, batch_sizes: tuple[int, ...], accuracy: Tensor) -> list[Line2D]:
    """Draw mean accuracy against batch size with the seeds' standard deviation as bars.

    Args:
        ax: where to draw.
        batch_sizes: one for each row of `accuracy`.
        accuracy: (batch sizes, seeds, 3), the last dimension in the order of `NAMES`.
    """
    lines = []
    mean, std = accuracy.mean(1), accuracy.std(1)
    for kind, (name, mode) in enumerate(zip(NAMES, MODES, strict=True)):
        # Side by side, so that no bar hides another.
        places = [size * 1.06 ** (kind - 1) for size in batch_sizes]
        bars = ax.errorbar(
            places,
            mean[:, kind].numpy(),
            std[:, kind].numpy(),
            color=COLOURS[kind],
            marker=MARKERS[kind],
            linestyle=("--", "-", ":")[kind],
            capsize=4,
            label=f"{name} ({mode})",
        )
        lines.append(bars.lines[0])
    ax.set_xscale("log", base=2)
    ax.set_xticks(batch_sizes, [str(size) for size in batch_sizes])
    ax.set(xlabel="batch size in training", ylabel="test accuracy")
    ax.legend(loc="lower center")
    return lines
