"""Digits as a network read them before it was saved and after it was loaded."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from torch import Tensor

from bnlab.plots.layers import change

SAVED, LOADED, LATER = "black", "#0072B2", "#D55E00"
WIDE, BAR, LINE = 92, 4.0, 0.86
"""Letters in a line of an error; the bars' length and the rows' distance, in digits."""


class Readings(Protocol):
    """Logits (N, classes) and their accuracy."""

    @property
    def logits(self) -> Tensor: ...
    @property
    def accuracy(self) -> float: ...


class Answers(Readings, Protocol):
    """Readings, and a norm's running statistics (C) afterwards."""

    @property
    def mean(self) -> Tensor: ...
    @property
    def var(self) -> Tensor: ...


class RoundTrip(Protocol):
    """The answers of a saved network and of the one loaded from its file, or why there is none."""

    @property
    def mode(self) -> str: ...
    @property
    def batches(self) -> str: ...
    @property
    def refused(self) -> str: ...
    @property
    def original(self) -> Answers: ...
    @property
    def before(self) -> Answers | None: ...
    @property
    def answers(self) -> Answers | None: ...
    @property
    def afterwards(self) -> Answers | None: ...


@dataclass
class RowArtists:
    """What is read into each digit, a frame around each mistake, the accuracy over all digits."""

    name: Text
    readings: tuple[Text, ...]
    mistakes: Line2D
    bar: Rectangle
    share: Text

    def update(self, name: str, answers: Readings | None, rows: Tensor, targets: Tensor) -> None:
        """Show what was answered about the samples `rows`; without answers, nothing."""
        change(self.name, text=name)
        for artist in (self.name, *self.readings, self.mistakes, self.bar, self.share):
            artist.set_visible(answers is not None)
        if answers is None:
            return
        read = answers.logits[rows].argmax(1)
        for text, digit in zip(self.readings, read.tolist(), strict=True):
            change(text, text=str(digit))
        wrong = (read != targets[rows]).nonzero().flatten()
        height = self.readings[0].get_position()[1]
        self.mistakes.set_data((wrong + 0.5).tolist(), [height] * len(wrong))
        self.bar.set_width(BAR * answers.accuracy)
        self.share.set_text(f"{100 * answers.accuracy:.1f} %")


@dataclass
class RoundTripArtists:
    """Rows of readings, logits and running statistics; or an error in place of nearly all."""

    rows: Tensor
    targets: Tensor
    heading: Text
    lines: tuple[RowArtists, ...]
    error: Text
    points: Line2D
    statistics: dict[str, tuple[Line2D, ...]]
    panels: tuple[Axes, ...]

    def update(self, result: RoundTrip) -> None:
        """Show another way from the one network to the other."""
        answered = (
            ("saved, eval()", result.original),
            (f"loaded, {result.mode}()", result.answers),
            ("asked again, eval()", result.afterwards),
        )
        for line, (name, answers) in zip(self.lines, answered, strict=True):
            line.update(name, answers, self.rows, self.targets)
        change(self.heading, text=f"accuracy, {result.batches}")
        change(self.error, text=fold(result.refused))
        for panel in self.panels:
            # With its own words, so that an error has the room to itself.
            change(panel, visible=not result.refused)
        self.points.set_visible(result.answers is not None)
        if result.answers is not None:
            self.points.set_data(
                *dots(result.original.logits[self.rows], result.answers.logits[self.rows])
            )
        for name, curves in self.statistics.items():
            order = getattr(result.original, name).argsort()
            stages = result.original, result.before, result.afterwards
            for curve, stage in zip(curves, stages, strict=True):
                curve.set_visible(not result.refused)
                if stage is not None:
                    curve.set_ydata(getattr(stage, name)[order].numpy())


def draw_round_trip(
    axes: tuple[Axes, Axes, Axes, Axes],
    result: RoundTrip,
    pictures: Tensor,
    targets: Tensor,
    rows: Tensor,
    *,
    logits: tuple[float, float],
    mean: tuple[float, float],
    var: tuple[float, float],
) -> RoundTripArtists:
    """Draw a few digits and how they were read, all their logits, and a norm's statistics.

    Args:
        axes: for the readings, the logits, the running means, the running variances.
        result: what to show first.
        pictures: of the digits shown, (K, H, W), from 0 to 1.
        targets: of all samples, (N).
        rows: which of them are shown, (K).
        logits: lowest and highest that are ever shown.
        mean: the same of the running means.
        var: and of the running variances.
    """
    table, plane, means, variances = axes
    heading, lines, error = _draw_table(table, pictures)
    limits = _widen(*logits)
    plane.set(xlim=limits, ylim=limits, aspect="equal", anchor="W")
    plane.set(
        title=f"Their {result.original.logits[rows].numel()} logits",
        xlabel="saved",
        ylabel="loaded",
    )
    plane.plot(limits, limits, color="black", linewidth=1)
    (points,) = plane.plot([], [], color=LOADED, linewidth=5, solid_capstyle="round", alpha=0.6)
    statistics = {
        "mean": _draw_statistics(means, len(result.original.mean)),
        "var": _draw_statistics(variances, len(result.original.var)),
    }
    means.set(title="running_mean", xlabel="channel, sorted", ylim=_widen(*mean))
    variances.set(title="running_var", xlabel="channel, sorted", ylim=_widen(*var))
    means.legend(loc="upper left", borderaxespad=0)
    artists = RoundTripArtists(rows, targets, heading, lines, error, points, statistics, axes[1:])
    artists.update(result)
    return artists


def fold(message: str) -> str:
    """Fold an error's message into a few lines, without its indents."""
    lines = [" ".join(line.split()) for line in message.splitlines() if line.strip()]
    folded = [part for line in lines for part in textwrap.wrap(line, WIDE)]
    return "\n".join(["Refused:", *folded]) if folded else ""


def dots(x: Tensor, y: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Points as very short strokes of one line, which a page holds in a fraction of the room."""
    places = (np.stack((x, x + 0.1, x * np.nan), -1), np.stack((y, y, y * np.nan), -1))
    return places[0].ravel(), places[1].ravel()


def _draw_table(ax: Axes, pictures: Tensor) -> tuple[Text, tuple[RowArtists, ...], Text]:
    count = len(pictures)
    ax.set(xlim=(-4.2, count + BAR + 2.4), ylim=(1.2 + 3 * LINE, -0.1), aspect="equal")
    ax.axis("off")
    sheet = torch.nn.functional.pad(pictures, (1, 1)).movedim(0, 1).flatten(1)
    ax.imshow(sheet.numpy(), cmap="gray_r", extent=(0, count, 1, 0), interpolation="none")
    ax.set(xlim=(-4.2, count + BAR + 2.4), ylim=(1.2 + 3 * LINE, -0.1))
    ax.text(-0.2, 0.5, "test digit", ha="right", va="center")
    heading = ax.text(count + 0.5, 0.5, "", va="center")
    lines = tuple(
        draw_row(ax, count, 1.2 + (at + 0.5) * LINE, colour)
        for at, colour in enumerate((SAVED, LOADED, LATER))
    )
    error = ax.text(-4.1, 1.3 + LINE, "", va="top", size=13, color=LATER, linespacing=1.4)
    error.set_in_layout(False)
    return heading, lines, error


def draw_row(ax: Axes, count: int, y: float, colour: str) -> RowArtists:
    """Make the artists of one row.

    Args:
        ax: where to draw; a digit is 1 wide.
        count: of the digits, which stand from 0 on.
        y: the row's height.
        colour: of words and bar.
    """
    name = ax.text(-0.2, y, "", ha="right", va="center", color=colour)
    places: Sequence[float] = [place + 0.5 for place in range(count)]
    readings = tuple(ax.text(x, y, "", ha="center", va="center", color=colour) for x in places)
    (mistakes,) = ax.plot([], [], linestyle="", marker="s", markersize=20, color="#CC0000")
    mistakes.set(fillstyle="none", markeredgewidth=2)
    bar = Rectangle((count + 0.5, y - 0.28), 0, 0.56, color=colour)
    ax.add_patch(bar)
    share = ax.text(count + 0.7 + BAR, y, "", va="center", color=colour)
    return RowArtists(name, readings, mistakes, bar, share)


def _draw_statistics(ax: Axes, channels: int) -> tuple[Line2D, ...]:
    ax.set(xlim=(-1, channels))
    ax.grid(False, axis="x")
    place = range(channels)
    looks = (
        ("saved", SAVED, {"linewidth": 7, "alpha": 0.25}),
        ("as loaded", LOADED, {"linewidth": 2.4}),
        ("after answering", LATER, {"linewidth": 1.6, "linestyle": (0, (3, 1.5))}),
    )
    return tuple(
        ax.plot(place, [1.0] * channels, color=colour, label=label, **look)[0]
        for label, colour, look in looks
    )


def _widen(low: float, high: float) -> tuple[float, float]:
    room = 0.06 * (high - low)
    return low - room, high + room
