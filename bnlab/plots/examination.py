"""A network with a defect: where it was planted and found, what was said, and what it costs."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from bnlab.plots.layers import change

COLOURS = {"error": "#D55E00", "warning": "#0072B2", "note": "#555555"}
WIDE, LINES, ROOM = 62, 17, 1.0
"""Letters in a line of the report, its lines, and the height of one."""
MEASURES = {
    "answers": "in eval mode, all at once",
    "small": "as it stands, 8 at a time",
    "later": "in eval mode, one epoch later",
}


class Finding(Protocol):
    """What was found, how bad it is, and where."""

    @property
    def kind(self) -> str: ...
    @property
    def severity(self) -> str: ...
    @property
    def layer(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def remedy(self) -> str: ...


class Examination(Protocol):
    """Findings, worst first."""

    @property
    def findings(self) -> Sequence[Finding]: ...


class Case(Protocol):
    """A defect in a layer, the examination, and three accuracies, NaN where there is none."""

    @property
    def defect(self) -> str: ...
    @property
    def layer(self) -> str: ...
    @property
    def examination(self) -> Examination: ...
    @property
    def found(self) -> Finding | None: ...
    @property
    def answers(self) -> float: ...
    @property
    def small(self) -> float: ...
    @property
    def later(self) -> float: ...


@dataclass
class ExaminedArtists:
    """A chain of layers with marks at two of them, three bars, and a report in lines."""

    boxes: dict[str, Rectangle]
    planted: Text
    found: Text
    bars: dict[str, Rectangle]
    shares: dict[str, Text]
    heads: tuple[Text, ...]
    lines: tuple[Text, ...]

    def update(self, result: Case) -> None:
        """Show another case."""
        for name, box in self.boxes.items():
            change(box, linewidth=4.0 if name == result.layer else 1.5)
        self.planted.set_visible(result.layer in self.boxes)
        if result.layer in self.boxes:
            self.planted.set_x(middle(self.boxes[result.layer]))
        self.found.set_visible(result.found is not None)
        if result.found is not None:
            # What is found in no norm stands above the norm it came from, or above them all.
            layer = result.found.layer
            own = [name for name in (layer, result.layer) if name in self.boxes]
            boxes = [self.boxes[name] for name in own[:1]] or list(self.boxes.values())
            self.found.set_x(sum(map(middle, boxes)) / len(boxes))
            where = "" if layer in self.boxes else f" in {layer or 'the network'}"
            self.found.set_text(f"{result.found.severity} found{where}")
            self.found.set_color(COLOURS[result.found.severity])
        for name, bar in self.bars.items():
            share = getattr(result, name)
            bar.set_width(0.0 if math.isnan(share) else share)
            self.shares[name].set_text("fails" if math.isnan(share) else say(share))
        report = fold(result.examination.findings)
        for at, (head, line) in enumerate(zip(self.heads, self.lines, strict=True)):
            text, severity = report[at] if at < len(report) else ("", "")
            head.set_text(text if severity else "")
            head.set_color(COLOURS.get(severity, "black"))
            line.set_text("" if severity else text)


def draw_examined(
    axes: tuple[Axes, Axes, Axes], result: Case, healthy: Case, layers: Sequence[str]
) -> ExaminedArtists:
    """Draw where a defect was planted and found, the accuracy that is left, and the report.

    Args:
        axes: for the chain of layers, the accuracies, the report.
        result: what to show first.
        healthy: the same network without a defect: its accuracies are marked.
        layers: names of those in which a defect can be, in order.
    """
    chain, plane, page = axes
    boxes, planted, found = _draw_chain(chain, layers)
    bars, shares = _draw_bars(plane, {name: getattr(healthy, name) for name in MEASURES})
    heads, lines = _draw_page(page)
    artists = ExaminedArtists(boxes, planted, found, bars, shares, heads, lines)
    artists.update(result)
    return artists


def fold(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Fold findings into lines: each a text, with its severity if it is the head of one.

    The first has its remedy too; what does not fit is counted in the last line.
    """
    report: list[tuple[str, str]] = []
    for at, each in enumerate(findings):
        remedy = f"Remedy: {each.remedy}" if each.remedy and not at else ""
        message = [
            (line, "") for text in (each.message, remedy) for line in textwrap.wrap(text, WIDE)
        ]
        head = f"{each.severity}: {each.kind} in {each.layer or 'the network'}"
        block = [(head, each.severity), *message, ("", "")]
        if len(report) + len(block) > LINES - 1:
            left = len(findings) - at
            return [*report, (f"and {left} more finding{'s' if left > 1 else ''}", "")]
        report += block
    return report or [("Nothing found.", "")]


def say(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f} %"


def middle(box: Rectangle) -> float:
    """Where the middle of a box is, from left to right."""
    return float(box.get_x() + box.get_width() / 2)


def _draw_chain(ax: Axes, layers: Sequence[str]) -> tuple[dict[str, Rectangle], Text, Text]:
    ax.set(xlim=(-0.15, len(layers) + 0.15), ylim=(-0.75, 1.75))
    ax.axis("off")
    boxes = {}
    for at in range(len(layers) + 1):
        ends = max(at - 0.12, 0), min(at + 0.12, len(layers))
        ax.plot(ends, [0.5, 0.5], color="black", linewidth=1.5)
    for at, name in enumerate(layers):
        # Not filled: it moves, and what moves is drawn over the name.
        boxes[name] = Rectangle((at + 0.12, 0), 0.76, 1, fill=False)
        ax.add_patch(boxes[name])
        ax.text(at + 0.5, 0.5, name, ha="center", va="center")
    planted = ax.text(0.5, -0.15, "planted here", ha="center", va="top", size=12)
    found = ax.text(0.5, 1.15, "", ha="center", va="bottom", size=12, weight="bold")
    # They move, and what moves is to leave the other panels where they are.
    found.set_in_layout(False)
    return boxes, planted, found


def _draw_bars(
    ax: Axes, healthy: Mapping[str, float]
) -> tuple[dict[str, Rectangle], dict[str, Text]]:
    ax.set(xlim=(0, 1.34), ylim=(len(MEASURES) - 0.1, -0.75), xticks=[0, 0.5, 1])
    ax.set(title="Digits read rightly", xticklabels=["0", "50 %", "100 %"], yticks=[])
    ax.grid(False, axis="y")
    bars, shares = {}, {}
    marks: list[Line2D] = []
    for at, (name, label) in enumerate(MEASURES.items()):
        ax.text(0.015, at - 0.27, label, va="bottom", size=12)
        bars[name] = Rectangle((0, at - 0.22), 0, 0.44, color="#56B4E9")
        ax.add_patch(bars[name])
        shares[name] = ax.text(1.03, at, "", va="center", size=12)
        marks += ax.plot([healthy[name]] * 2, [at - 0.32, at + 0.32], color="black", linewidth=2.5)
    marks[0].set_label("healthy")
    ax.legend(loc="upper right", bbox_to_anchor=(1.02, 1.16), handlelength=1.2)
    return bars, shares


def _draw_page(ax: Axes) -> tuple[tuple[Text, ...], tuple[Text, ...]]:
    ax.set(xlim=(0, 1), ylim=(LINES * ROOM, -0.4), title="What examine finds")
    ax.axis("off")
    places = [at * ROOM for at in range(LINES)]
    heads = tuple(ax.text(0, y, "", va="top", size=12, weight="bold") for y in places)
    lines = tuple(ax.text(0, y, "", va="top", size=12) for y in places)
    for text in (*heads, *lines):
        text.set_in_layout(False)
    return heads, lines
