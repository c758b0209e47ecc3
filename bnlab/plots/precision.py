"""How far a computed variance is from the true one, as the mean grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

COLOURS, MARKERS = ("#D55E00", "#0072B2", "#009E73"), ("X", "o", "s")


class Precision(Protocol):
    """Relative errors of several formulas over several means."""

    @property
    def means(self) -> Sequence[float]: ...
    @property
    def errors(self) -> Mapping[str, Sequence[float]]: ...  # inf where there is no number
    @property
    def at(self) -> int: ...  # the chosen mean
    @property
    def words(self) -> Mapping[str, str]: ...  # what each formula gives there


@dataclass
class PrecisionArtists:
    """A line a formula, a marker on each at the chosen mean, and what it gives there."""

    lines: list[Line2D]
    markers: list[Line2D]
    chosen: Line2D
    words: list[Text]
    lowest: float
    highest: float

    def update(self, result: Precision) -> None:
        """Show the errors of `result`; what is off the scale lies on its edge."""
        self.chosen.set_xdata([result.means[result.at]] * 2)
        rows = zip(self.lines, self.markers, self.words, result.errors.items(), strict=True)
        for line, marker, word, (name, errors) in rows:
            heights = [min(max(error, self.lowest), self.highest) for error in errors]
            line.set_data(result.means, heights)
            marker.set_data([result.means[result.at]], [heights[result.at]])
            word.set_text(f"{name}: {result.words[name]}")


def draw_precision(ax: Axes, side: Axes, result: Precision) -> PrecisionArtists:
    """Draw relative error against mean, both on logarithmic scales.

    Args:
        ax: for the errors.
        side: for the words.
        result: at most three formulas.
    """
    lowest, highest = 1e-17, 1.0
    ax.set(xscale="log", yscale="log", xlim=(0.7, 1.4e6), ylim=(lowest / 3, highest * 30))
    ax.set(xlabel="mean of the values", ylabel="relative error of the variance")
    ax.set_yticks([1e-16, 1e-12, 1e-8, 1e-4, 1])
    ax.axhline(1, color="black", linewidth=1.4, linestyle=":")
    ax.text(0.8, 1.6, "nothing right, or worse", size=11, va="bottom")
    side.set_axis_off()
    lines, markers, words = [], [], []
    for i, name in enumerate(result.errors):
        colour, shape = COLOURS[i], MARKERS[i]
        dashes = "--" if i == 0 else "-"
        lines += ax.plot(
            [], [], shape + dashes, color=colour, markersize=5, linewidth=2, label=name
        )
        markers += ax.plot([], [], shape, color=colour, markersize=13, markeredgecolor="black")
        words.append(side.text(0, 0.62 - 0.13 * i, "", size=15, color=colour, weight="bold"))
    side.text(0, 0.78, "Variance, true value 1", size=15)
    ax.legend(loc="lower right")
    chosen = ax.axvline(1, color="#999999", linewidth=1.4, zorder=0)
    artists = PrecisionArtists(lines, markers, chosen, words, lowest, highest)
    artists.update(result)
    return artists
