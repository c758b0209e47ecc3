"""Batch norm in half precision: a batch that spoils the statistics, updates that get lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import Tensor

TRAIN, EVAL = "#0072B2", "#D55E00"
# Colour, line and marker of each type.
TYPES = {
    "float32": ("#000000", "-", "o"),
    "float16": ("#009E73", "--", "s"),
    "bfloat16": ("#D55E00", ":", "^"),
}


class Spoilt(Protocol):
    """A training with one bad batch."""

    @property
    def handling(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def glitch(self) -> int: ...
    @property
    def train_accuracy(self) -> Tensor: ...
    @property
    def eval_accuracy(self) -> Tensor: ...


@dataclass
class SpoiltArtists:
    """Accuracy in both modes, and where the bad batch came."""

    train: Line2D
    eval: Line2D
    glitch: Line2D
    title: Text

    def update(self, result: Spoilt) -> None:
        """Move the lines to `result`."""
        for line, accuracy in (
            (self.train, result.train_accuracy),
            (self.eval, result.eval_accuracy),
        ):
            line.set_data(range(len(accuracy)), 100 * accuracy.numpy())
        self.glitch.set_xdata([result.glitch, result.glitch])
        self.title.set_text(f"{result.handling}, {result.dtype}")


def draw_spoilt(axes: Axes, result: Spoilt) -> SpoiltArtists:
    """Draw the accuracy in train and in eval mode, step by step.

    Args:
        axes: where to draw.
        result: a training of which one batch was bad.
    """
    axes.set(xlabel="step", ylabel="test digits right (%)", ylim=(-4, 104))
    axes.set_xlim(0, len(result.eval_accuracy) - 1)
    (train,) = axes.plot([], [], color=TRAIN, label="train mode")
    (eval_,) = axes.plot([], [], color=EVAL, linestyle="--", label="eval mode")
    glitch = axes.axvline(0, color="0.35", linestyle=":", linewidth=1.5, label="the bad batch")
    axes.legend(loc="center right")
    artists = SpoiltArtists(train, eval_, glitch, axes.set_title(""))
    artists.update(result)
    return artists


class Stored(Protocol):
    """Statistics kept in one type."""

    @property
    def dtype(self) -> str: ...
    @property
    def mean_error(self) -> Tensor: ...
    @property
    def std_error(self) -> Tensor: ...


@dataclass
class StoredArtists:
    """For each type a line in either panel."""

    means: dict[str, Line2D]
    stds: dict[str, Line2D]

    def update(self, result: Mapping[str, Stored]) -> None:
        """Move the lines to other runs of the same types."""
        for name, stored in result.items():
            for lines, error in ((self.means, stored.mean_error), (self.stds, stored.std_error)):
                lines[name].set_data(range(1, 1 + len(error)), error.numpy())


def draw_stored(axes: Sequence[Axes], result: Mapping[str, Stored]) -> StoredArtists:
    """Draw how far running means and deviations are from the population's, step by step.

    Args:
        axes: two, for the means and for the standard deviations.
        result: by type, of `TYPES`, all with the same number of steps.
    """
    artists = StoredArtists({}, {})
    titles = "running mean", "running standard deviation"
    labels = "RMS error (in standard deviations)", "RMS error (relative)"
    steps = max(len(stored.mean_error) for stored in result.values())
    for ax, lines, title, label in zip(
        axes, (artists.means, artists.stds), titles, labels, strict=True
    ):
        ax.set(title=title, xlabel="batch", ylabel=label, yscale="log")
        ax.set(xlim=(0, steps), ylim=(5e-4, 10))
        for name in result:
            colour, line, marker = TYPES[name]
            (lines[name],) = ax.plot(
                [],
                [],
                color=colour,
                linestyle=line,
                marker=marker,
                markevery=steps // 8,
                label=name,
            )
    axes[0].legend(loc="lower left")
    artists.update(result)
    return artists
