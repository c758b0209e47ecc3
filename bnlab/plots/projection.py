"""A gradient at the place where it acts: three samples are one point in space."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, FancyArrowPatch
from matplotlib.text import Text
from torch import Tensor

from bnlab.plots.computation_graph import decimal

SHIFT, STRETCH, ARRIVES, LEAVES = "#009E73", "#CC79A7", "#0072B2", "#B34700"
TURN, RISE = radians(-58), radians(35)  # where x̂ stands on the circle; how far we look down


class ProjectedGradient(Protocol):
    """A gradient of three samples before and after batch norm, in its three directions."""

    @property
    def radius(self) -> float: ...  # of the circle, the length of x̂
    @property
    def arriving(self) -> Tensor: ...  # parts along x̂, along the third direction and along 1
    @property
    def leaving(self) -> Tensor: ...
    @property
    def samples(self) -> tuple[Tensor, Tensor]: ...  # the same two, one number a sample
    @property
    def dots(self) -> tuple[float, float]: ...  # of the leaving gradient with 1 and with x̂


def on_page(along: float, across: float, up: float) -> tuple[float, float]:
    """Where a point falls, given along x̂, across it within the plane, and along 1."""
    x = along * cos(TURN) - across * sin(TURN)
    depth = along * sin(TURN) + across * cos(TURN)
    return x, up * cos(RISE) + depth * sin(RISE)


@dataclass
class ProjectionArtists:
    """Two arrows at the tip of x̂, the parts of the one that arrives, and the numbers."""

    arriving: FancyArrowPatch
    leaving: FancyArrowPatch
    parts: list[Line2D]
    columns: list[list[Text]]
    dots: list[Text]

    def update(self, result: ProjectedGradient) -> None:
        """Turn the arrows and write the numbers of `result`."""
        radius = result.radius
        tip = on_page(radius, 0, 0)
        along, across, up = result.arriving.tolist()
        ends = [tip]
        for reached in ((0, across, 0), (along, across, 0), (along, across, up)):
            ends.append(on_page(radius + reached[0], reached[1], reached[2]))
        for line, start, end in zip(self.parts, ends[1:], ends[2:], strict=False):
            line.set_data(*zip(start, end, strict=True))
        self.arriving.set_positions(tip, ends[-1])
        along, across, up = result.leaving.tolist()
        self.leaving.set_positions(tip, on_page(radius + along, across, up))
        self.leaving.set_visible(bool(result.leaving.norm() > 0.05))
        for column, numbers in zip(self.columns, result.samples, strict=True):
            for text, number in zip(column, numbers.tolist(), strict=True):
                text.set_text(decimal(number))
        for text, dot in zip(self.dots, result.dots, strict=True):
            zero = abs(dot) < 5e-3
            text.set_text(f"{decimal(dot)}  {'✓' if zero else '✗'}")
            text.set_color("black" if zero else LEAVES)


def draw_projection(axes: tuple[Axes, Axes], result: ProjectedGradient) -> ProjectionArtists:
    """Draw the gradient that arrives at x̂, and what of it goes on to x.

    Args:
        axes: left for the picture, right for the numbers.
        result: of a batch of three samples.
    """
    left, right = axes
    radius = result.radius
    left.set(xlim=(-2.65, 3.75), ylim=(-3.35, 2.45), aspect="equal")
    for ax in axes:
        ax.set_axis_off()
    _draw_place(left, radius)
    parts = [
        left.plot([], [], color=colour, linestyle=style, linewidth=2.4)[0]
        for colour, style in ((STRETCH, (0, (3, 1))), (SHIFT, (0, (1, 1))))
    ]

    def arrow(colour: str, width: float, **style: Any) -> FancyArrowPatch:
        patch = FancyArrowPatch(
            (0, 0), (1, 1), arrowstyle="-|>", mutation_scale=18, color=colour, linewidth=width,
            shrinkA=0, shrinkB=0, zorder=5, **style,
        )  # fmt: skip
        left.add_patch(patch)
        return patch

    columns, dots = _draw_numbers(right)
    artists = ProjectionArtists(
        arriving=arrow(ARRIVES, 2.6), leaving=arrow(LEAVES, 4.6), parts=parts,
        columns=columns, dots=dots,
    )  # fmt: skip
    artists.update(result)
    return artists


def _draw_place(ax: Axes, radius: float) -> None:
    """The plane of all centred batches, the circle of the normalised ones, x̂ and 1."""
    disc: dict[str, Any] = {"facecolor": "#F0F0F0", "edgecolor": "none", "zorder": 0}
    circle: dict[str, Any] = {"facecolor": "none", "edgecolor": "black", "linewidth": 1.6}
    for size, style in ((2.55, disc), (radius, circle)):
        ax.add_patch(Ellipse((0, 0), 2 * size, 2 * size * sin(RISE), **style))
    top, tip = on_page(0, 0, 2.35), on_page(radius, 0, 0)
    ax.plot(*zip((0, 0), top, strict=True), color="#555555", linewidth=1.6)
    ax.text(0, top[1] + 0.1, "1 = (1, 1, 1)", size=14, ha="center", va="bottom")
    ax.plot(*zip((0, 0), tip, strict=True), color="black", linewidth=2.2)
    ax.plot(*tip, "o", color="black", markersize=7, zorder=6)
    ax.text(tip[0] - 0.72, tip[1] - 0.02, "x̂", size=17, weight="bold", ha="center")
    ax.text(-1.25, 1.06, "mean 0", size=13, color="#555555", ha="center")
    ax.text(-2.08, -0.72, "spread 1", size=13, ha="center")


def _draw_numbers(ax: Axes) -> tuple[list[list[Text]], list[Text]]:
    ax.set(xlim=(0, 10), ylim=(10, 0))
    bold: dict[str, Any] = {"size": 14, "weight": "bold", "ha": "right", "va": "center"}
    ax.text(5.6, 0.6, "arrives: dx̂", color=ARRIVES, **bold)
    ax.text(9.9, 0.6, "leaves: dx", color=LEAVES, **bold)
    columns: list[list[Text]] = [[], []]
    for row in range(3):
        y = 1.7 + 0.95 * row
        ax.text(0, y, f"sample {row + 1}", size=13, va="center")
        for column, (x, colour) in zip(columns, ((5.6, ARRIVES), (9.9, LEAVES)), strict=True):
            column.append(ax.text(x, y, "", color=colour, **bold | {"weight": "normal"}))
    dots = []
    for row, (words, colour, style) in enumerate(
        (("dx · 1", SHIFT, (0, (1, 1))), ("dx · x̂", STRETCH, (0, (3, 1))))
    ):
        y = 5.4 + 1.1 * row
        ax.text(0, y, words, size=15, weight="bold", va="center")
        dots.append(ax.text(9.9, y, "", **bold | {"size": 15}))
        ax.plot([3.4, 5.2], [y, y], color=colour, linestyle=style, linewidth=2.6)
    note = (
        "dotted: a shift of all three,\ndashed: a stretch of all three.\nBatch norm forgets both."
    )
    ax.text(0, 7.4, note, size=13, va="top", linespacing=1.6)
    return columns, dots
