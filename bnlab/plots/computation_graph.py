"""Batch normalisation as a graph: values flow to the right, the gradient flows back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.text import Text
from torch import Tensor

VALUE, GRADIENT, REACHED, FORWARD = "#0072B2", "#B34700", "#FBE3D2", "#9A9A9A"

# Everything is placed in points, from the top left corner.
WIDTH, HEIGHT = 619.0, 432.0
ROW, TOP, LOW = 21.0, 80.0, 264.0  # height of a row, where the upper and the lower nodes begin
Ends = tuple[float, float, float, float]
# Left, top, rows, and the width of its half: values on the left, gradients on the right.
PLACES: dict[str, tuple[float, float, int, float]] = {
    "x": (4, TOP, 4, 61),
    "centred": (168, TOP, 4, 61),
    "x_hat": (332, TOP, 4, 61),
    "y": (493, TOP, 4, 61),
    "mean": (4, LOW, 1, 61),
    "var": (168, LOW, 1, 61),
    "rstd": (332, LOW, 1, 61),
    "weight": (493, 236, 1, 51),
    "bias": (493, 290, 1, 61),
}
TITLES = {
    "x": "x",
    "centred": "x − μ",
    "x_hat": "x̂ = r (x − μ)",
    "y": "y = γ x̂ + β",
    "mean": "μ",
    "var": "σ²",
    "rstd": "r = 1/√(σ²+ε)",
    "weight": "γ",
    "bias": "β",
}
ROAD = TOP + 2 * ROW  # height at which the upper row is joined
BELOW, ABOVE = TOP + 4 * ROW + 3, LOW - 3
# From the input of a step to its output: the middle between the road there and the road back.
EDGES: dict[tuple[str, str], Ends] = {
    ("x", "centred"): (129, ROAD, 165, ROAD),
    ("centred", "x_hat"): (293, ROAD, 329, ROAD),
    ("x_hat", "y"): (457, ROAD, 490, ROAD),
    ("x", "mean"): (62, BELOW, 62, ABOVE),
    ("mean", "centred"): (94, ABOVE - 4, 186, BELOW + 1),
    ("centred", "var"): (230, BELOW, 230, ABOVE),
    ("var", "rstd"): (293, LOW + ROW / 2, 329, LOW + ROW / 2),
    ("rstd", "x_hat"): (445, ABOVE, 445, BELOW),
    ("weight", "y"): (545, 233, 545, BELOW),
    ("bias", "y"): (607, 287, 607, BELOW),
}


class BackwardPass(Protocol):
    """A backward pass that has come so far."""

    @property
    def values(self) -> Mapping[str, Tensor]: ...
    @property
    def gradients(self) -> Mapping[str, Tensor]: ...  # of the nodes reached
    @property
    def crossed(self) -> Sequence[tuple[str, str]]: ...  # (input, output), the last one just now
    @property
    def headline(self) -> str: ...
    @property
    def lines(self) -> tuple[str, str]: ...


@dataclass
class GraphArtists:
    """Numbers in the nodes, an arrow on every edge, and words below."""

    values: dict[str, list[Text]]
    gradients: dict[str, list[Text]]
    reached: dict[str, Rectangle]
    now: dict[tuple[str, str], FancyArrowPatch]
    before: dict[tuple[str, str], FancyArrowPatch]
    frame: FancyBboxPatch
    headline: Text
    lines: tuple[Text, Text]

    def update(self, result: BackwardPass) -> None:
        """Light the edge crossed last, and fill in the gradients of the nodes reached."""
        now = result.crossed[-1] if result.crossed else None
        for node, texts in self.values.items():
            _write(texts, result.values[node])
            reached = node in result.gradients
            self.reached[node].set_visible(reached)
            for text in self.gradients[node]:
                text.set_visible(reached)
            if reached:
                _write(self.gradients[node], result.gradients[node])
        for edge in EDGES:
            self.now[edge].set_visible(edge == now)
            self.before[edge].set_visible(edge in result.crossed[:-1])
        left, top, rows, half = PLACES[now[0] if now else "y"]
        self.frame.set_bounds(left + half, top, half, rows * ROW)
        self.headline.set_text(result.headline)
        for text, line in zip(self.lines, result.lines, strict=True):
            text.set_text(line)


def _write(texts: list[Text], numbers: Tensor) -> None:
    for text, number in zip(texts, numbers.reshape(-1).tolist(), strict=True):
        text.set_text(decimal(number))


def decimal(number: float) -> str:
    """Two decimals, a true minus sign, and no negative zero."""
    return f"{round(number, 2) + 0.0:.2f}".replace("-", "−")


def draw_backward_pass(ax: Axes, result: BackwardPass) -> GraphArtists:
    """Draw the graph of one channel of a batch of four, and how far the gradient has come.

    Args:
        ax: fills the whole figure of 8.6 by 6 inches.
        result: four values in the upper nodes, a single one in the lower.
    """
    ax.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    ax.set_axis_off()
    ax.text(4, 16, "forward →", size=14, weight="bold", color=VALUE, va="center")
    ax.text(615, 16, "← backward", size=14, weight="bold", color=GRADIENT, va="center", ha="right")
    values, gradients, reached = {}, {}, {}
    for node in PLACES:
        values[node], gradients[node], reached[node] = _draw_node(ax, node)
    forward: dict[str, Any] = {"color": FORWARD, "linewidth": 1.6, "mutation_scale": 13}
    now: dict[str, Any] = {"color": GRADIENT, "linewidth": 5.0, "mutation_scale": 28}
    before = {**now, "linewidth": 2.4, "mutation_scale": 13, "linestyle": (0, (2, 1.5))}
    for ends in EDGES.values():
        _draw_arrow(ax, ends, forward)
    frame = FancyBboxPatch(
        (0, 0), 1, 1, boxstyle="round,pad=1,rounding_size=3",
        facecolor="none", edgecolor=GRADIENT, linewidth=2.6, zorder=5,
    )  # fmt: skip
    ax.add_patch(frame)
    ax.axhline(326, color="#BBBBBB", linewidth=1)
    artists = GraphArtists(
        values=values,
        gradients=gradients,
        reached=reached,
        now={edge: _draw_arrow(ax, _back(ends), now) for edge, ends in EDGES.items()},
        before={edge: _draw_arrow(ax, _back(ends), before) for edge, ends in EDGES.items()},
        frame=frame,
        headline=ax.text(8, 344, "", size=15, weight="bold", va="center"),
        lines=(
            ax.text(8, 377, "", size=18, va="center", color=GRADIENT),
            ax.text(8, 410, "", size=14, va="center"),
        ),
    )
    artists.update(result)
    return artists


def _draw_node(ax: Axes, node: str) -> tuple[list[Text], list[Text], Rectangle]:
    left, top, rows, half = PLACES[node]
    title: dict[str, Any] = {"size": 14, "weight": "bold", "va": "center"}
    if rows > 1:
        ax.text(left + half, top - 27, TITLES[node], ha="center", **title)
        for middle, word in ((0.5, "value"), (1.5, "gradient")):
            ax.text(left + middle * half, top - 9, word, size=11.5, ha="center", va="center")
    else:
        ax.text(left + 1, top - 11, TITLES[node], **title | {"size": 13})
    box: dict[str, Any] = {"facecolor": "white", "edgecolor": "#7A7A7A", "linewidth": 1.2}
    for shift in (0, half):
        ax.add_patch(Rectangle((left + shift, top), half, rows * ROW, **box))
    reached = Rectangle((left + half, top), half, rows * ROW, **box | {"facecolor": REACHED})
    ax.add_patch(reached)

    def column(right: float, colour: str, weight: str) -> list[Text]:
        style: dict[str, Any] = {"size": 13, "ha": "right", "va": "center", "weight": weight}
        heights = [top + ROW * (row + 0.53) for row in range(rows)]
        return [ax.text(right, y, "", color=colour, **style) for y in heights]

    margin = (half - 44) / 2
    values = column(left + half - margin, VALUE, "normal")
    return values, column(left + 2 * half - margin, GRADIENT, "bold"), reached


def _back(ends: Ends) -> Ends:
    return (*ends[2:], *ends[:2])


def _draw_arrow(ax: Axes, ends: Ends, style: dict[str, Any]) -> FancyArrowPatch:
    """An arrow a little to the right of the middle line, as traffic keeps to its side."""
    across, down = ends[2] - ends[0], ends[3] - ends[1]
    aside = 8 / hypot(across, down)
    x, y = -aside * down, aside * across
    arrow = FancyArrowPatch(
        (ends[0] + x, ends[1] + y), (ends[2] + x, ends[3] + y),
        arrowstyle="-|>", shrinkA=0, shrinkB=0, zorder=4, **style,
    )  # fmt: skip
    ax.add_patch(arrow)
    return arrow
