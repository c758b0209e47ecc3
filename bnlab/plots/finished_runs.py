"""Finished trainings at one setting: their loss as it fell, and where the setting stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import Tensor

from bnlab.plots.gaps import join_curves
from bnlab.plots.layers import change
from bnlab.plots.seeds import SeedArtists, draw_seeds

COLOURS, LINES = ("#D55E00", "#0072B2", "#009E73"), ("-", "--", ":")
MARKERS, SIGNS = ("o", "s", "D"), ("●", "■", "◆")


class Finished(Protocol):
    """What became of every kind of network at one setting, and along a whole axis.

    By kind: the samples seen, (P); each seed's loss, (S, P); its accuracy at the end, (S); how many
    seeds were stopped; and the accuracy along the axis, (S, X).
    """

    @property
    def place(self) -> float: ...
    @property
    def seen(self) -> Tensor: ...
    @property
    def loss(self) -> Mapping[str, Tensor]: ...
    @property
    def accuracy(self) -> Mapping[str, Tensor]: ...
    @property
    def stopped(self) -> Mapping[str, int]: ...
    @property
    def along(self) -> Mapping[str, Tensor]: ...


@dataclass
class FinishedArtists:
    """By kind: all seeds' losses as one line, their mean, words, the accuracy along the axis."""

    seeds: dict[str, Line2D]
    means: dict[str, Line2D]
    words: dict[str, Text]
    along: dict[str, SeedArtists]
    cursor: Line2D

    def update(self, result: Finished) -> None:
        """Move everything to `result`."""
        for kind, sign in zip(self.means, SIGNS, strict=False):
            loss, accuracy = result.loss[kind], 100 * result.accuracy[kind]
            self.seeds[kind].set_data(*join_curves(result.seen, loss))
            self.means[kind].set_data(result.seen.numpy(), loss.mean(0).numpy())
            stopped = result.stopped[kind]
            fate = f" ({stopped} stopped)" if stopped else ""
            words = f"{sign} {kind}: {accuracy.mean():.1f} ± {accuracy.std():.1f} %{fate}"
            change(self.words[kind], text=words)
            self.along[kind].update(result.along[kind])
        self.cursor.set_xdata([result.place, result.place])


def draw_finished(
    axes: Sequence[Axes],
    result: Finished,
    x: Sequence[float],
    *,
    label: str,
    samples: str = "digits",
    limits: tuple[float, float] = (0.01, 20.0),
) -> FinishedArtists:
    """Draw losses at one setting on the left, accuracies along an axis of settings on the right.

    Args:
        axes: the two.
        result: at most three kinds of network.
        x: the settings along the axis, drawn on a logarithmic scale.
        label: what they are.
        samples: what the networks are trained on.
        limits: ends of the loss's axis, which is logarithmic; what lies beyond is not seen.
    """
    left, right = axes
    left.set(xlabel=f"{samples} seen", ylabel="training loss", yscale="log", ylim=limits)
    left.set_xlim(0, result.seen[-1].item())
    left.set_yticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
    left.minorticks_off()
    # The words stand above both panels; an empty title keeps their place.
    left.set_title(" ", size=18)
    cursor = right.axvline(result.place, color="black", linewidth=1.2, linestyle=(0, (2, 2)))
    artists = FinishedArtists({}, {}, {}, {}, cursor)
    looks = zip(result.loss, COLOURS, MARKERS, LINES, strict=False)
    for column, (kind, colour, marker, line) in enumerate(looks):
        (artists.seeds[kind],) = left.plot([], [], color=colour, linewidth=0.8, alpha=0.45)
        (artists.means[kind],) = left.plot([], [], color=colour, linestyle=line)
        words: dict[str, Any] = {"transform": left.transAxes, "color": colour, "in_layout": False}
        artists.words[kind] = left.text(0.82 * column - 0.1, 1.05, "", **words)
        look = {"color": colour, "marker": marker, "linestyle": line}
        artists.along[kind] = draw_seeds(right, result.along[kind], x, label=kind, **look)
    right.set(xlabel=label, ylabel="test accuracy", xscale="log", ylim=(-0.02, 1.02))
    right.set_xticks(x, [f"{each:g}" for each in x], size=11)
    right.minorticks_off()
    artists.update(result)
    return artists
