"""Added gradients beside a large batch's, and the running mean that each way leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import Tensor

COLOURS, MARKERS, GLYPHS = ("#0072B2", "#D55E00", "#009E73"), ("o", "s", "D"), ("●", "■", "◆")
STYLES = ("-", "--", ":")
ROUNDING = 1e-6
"""A difference of less than this share is rounding."""
UPDATES: dict[str, dict[str, Any]] = {
    "large": {"color": "black", "linewidth": 6, "alpha": 0.3},
    "accumulated": {"color": "#D55E00", "linewidth": 1.8},
    "adapted": {"color": "#0072B2", "linewidth": 1.8, "linestyle": "--"},
}


class Course(Protocol):
    """A running mean after each of some steps, and how far it spreads."""

    @property
    def values(self) -> Tensor: ...
    @property
    def spread(self) -> float: ...


class Running(Protocol):
    """The running mean with one update a step, with several, with several smaller ones."""

    @property
    def large(self) -> Course: ...
    @property
    def accumulated(self) -> Course: ...
    @property
    def adapted(self) -> Course: ...


class Accumulated(Protocol):
    """Angles over micro-batch sizes, (sizes, draws, matrices), and one size picked among them."""

    @property
    def micro(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def angles(self) -> Tensor: ...
    @property
    def errors(self) -> Tensor: ...
    @property
    def running(self) -> Running | None: ...


@dataclass
class AccumulatedArtists:
    """A line, dots and words for each matrix; three courses of the running mean."""

    micros: Sequence[int]
    matrices: Sequence[str]
    means: tuple[Line2D, ...]
    dots: tuple[Line2D, ...]
    words: tuple[Text, ...]
    cursor: Line2D
    courses: dict[str, Line2D]
    keys: dict[str, Line2D]
    spreads: dict[str, Text]
    nothing: Text

    def update(self, result: Accumulated) -> None:
        """Move everything to `result`."""
        at = list(self.micros).index(result.micro)
        for place, name in enumerate(self.matrices):
            angles = result.angles[..., place]
            self.means[place].set_ydata(angles.mean(1).numpy())
            self.dots[place].set_ydata(angles.flatten().numpy())
            off = result.errors[at, :, place].mean().item()
            gap = (
                f"{angles[at].mean():.0f}°, off by {100 * off:.0f} %" if off > ROUNDING else "equal"
            )
            self.words[place].set_text(f"{GLYPHS[place]} {name}: {gap}")
        self.cursor.set_xdata([result.micro] * 2)
        running = result.running
        self.nothing.set_visible(running is None)
        names = {
            "large": "one update a step",
            "accumulated": f"{result.count} updates a step",
            "adapted": f"{result.count} smaller updates",
        }
        for which, line in self.courses.items():
            for artist in (line, self.keys[which], self.spreads[which]):
                artist.set_visible(running is not None)
            if running is not None:
                course: Course = getattr(running, which)
                line.set_ydata(course.values.numpy())
                self.spreads[which].set_text(f"{names[which]}: spread {course.spread:.3f}")


def draw_accumulated(
    axes: tuple[Axes, Axes],
    result: Accumulated,
    micros: Sequence[int],
    matrices: Sequence[str],
    *,
    steps: int,
) -> AccumulatedArtists:
    """Draw the angles between the gradients, and a channel's running mean.

    Args:
        axes: for the angles and for the running mean.
        result: what to show first.
        micros: the micro-batch sizes.
        matrices: names of the weight matrices, at most three.
        steps: how many steps of the running mean there are.
    """
    left, right = axes
    left.set_xscale("log", base=2)
    left.set_xticks(micros, [str(size) for size in micros])
    left.minorticks_off()
    left.set(ylim=(-3, 118), yticks=(0, 30, 60, 90), xlabel="samples in a micro-batch")
    left.set_yticklabels(["0°", "30°", "60°", "90°"])
    left.set_title("Angle to the large batch's gradient")
    draws = result.angles.shape[1]
    places = [size for size in micros for _ in range(draws)]
    means, dots, words = [], [], []
    for place, colour in enumerate(COLOURS[: len(matrices)]):
        look: dict[str, Any] = {"color": colour, "marker": MARKERS[place]}
        means += left.plot(micros, [0] * len(micros), linestyle=STYLES[place], **look)
        dots += left.plot(places, [0] * len(places), linestyle="", markersize=3, alpha=0.6, **look)
        height = 0.99 - 0.075 * place
        words.append(
            left.text(
                0.99, height, "", color=colour, ha="right", va="top", transform=left.transAxes
            )
        )
    (cursor,) = left.plot([micros[0]] * 2, [-3, 92], color="black", linewidth=1, linestyle="--")
    right.set(xlim=(1 - steps, 0), ylim=(-0.62, 1.05), yticks=(-0.5, 0, 0.5))
    right.set(xlabel="step, counted from the last", title="A running mean, in σ of its channel")
    courses, keys, spreads = {}, {}, {}
    for place, (which, look) in enumerate(UPDATES.items()):
        (courses[which],) = right.plot(range(1 - steps, 1), [0.0] * steps, **look)
        height = 0.95 - 0.075 * place
        samples = right.plot([0.02, 0.09], [height] * 2, transform=right.transAxes, **look)
        keys[which] = samples[0]
        spreads[which] = right.text(
            0.11, height, "", color=look["color"], va="center", transform=right.transAxes
        )
    nothing = right.text(0.5, 0.37, "no running statistics", ha="center", transform=right.transAxes)
    artists = AccumulatedArtists(
        micros,
        matrices,
        tuple(means),
        tuple(dots),
        tuple(words),
        cursor,
        courses,
        keys,
        spreads,
        nothing,
    )
    artists.update(result)
    return artists
