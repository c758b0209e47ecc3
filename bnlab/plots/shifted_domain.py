"""Digits from another domain: how they are read, how well over all strengths, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from torch import Tensor

from bnlab.plots.round_trip import BAR, LINE, Readings, RowArtists, dots, draw_row

LOOKS: dict[str, dict[str, Any]] = {
    "frozen": {"color": "#0072B2", "marker": "s", "linestyle": "-"},
    "live": {"color": "#D55E00", "marker": "o", "linestyle": "--"},
    "recalibrated": {"color": "#009E73", "marker": "D", "linestyle": ":"},
}
MEANS, STDS = (-7.0, 7.0), (0.015, 4.0)
"""What the plane of the channels shows."""


class Channels(Protocol):
    """Means in running standard deviations, deviations as multiples of the running ones, (C)."""

    @property
    def mean(self) -> Tensor: ...
    @property
    def std(self) -> Tensor: ...


class Domain(Protocol):
    """Answers in one domain, the accuracy at every strength, and the first norm's input."""

    @property
    def strength(self) -> float: ...
    @property
    def pictures(self) -> Tensor: ...
    @property
    def answers(self) -> Mapping[str, Readings]: ...
    @property
    def accuracies(self) -> Mapping[str, Sequence[float]]: ...
    @property
    def domain(self) -> Channels: ...
    @property
    def batch(self) -> Channels: ...


@dataclass
class DomainArtists:
    """Pictures and rows of readings, a line for each kind of statistics, two clouds of channels."""

    rows: Tensor
    targets: Tensor
    sheet: AxesImage
    readings: dict[str, RowArtists]
    lines: dict[str, Line2D]
    cursor: Line2D
    domain: Line2D
    batch: Line2D

    def update(self, result: Domain) -> None:
        """Move everything to `result`."""
        self.sheet.set_data(_side_by_side(result.pictures))
        for name, row in self.readings.items():
            row.update(name, result.answers[name], self.rows, self.targets)
            accuracies = [100 * share for share in result.accuracies[name]]
            self.lines[name].set_ydata(accuracies)
        self.cursor.set_xdata([100 * result.strength] * 2)
        for cloud, channels in ((self.domain, result.domain), (self.batch, result.batch)):
            # Beyond the edge a channel stays on it.
            cloud.set_data(*dots(channels.mean.clamp(*MEANS), channels.std.clamp(*STDS)))


def draw_domain(
    axes: tuple[Axes, Axes, Axes],
    result: Domain,
    strengths: Sequence[float],
    targets: Tensor,
    rows: Tensor,
) -> DomainArtists:
    """Draw some digits and their readings, the accuracies, and the channels of the first norm.

    Args:
        axes: for readings, accuracies, channels.
        result: what to show first.
        strengths: of the shift.
        targets: of all samples, (N).
        rows: which of them are shown, (K).
    """
    table, plane, channels = axes
    count = len(rows)
    table.axis("off")
    pictures = _side_by_side(result.pictures)
    sheet = table.imshow(pictures, cmap="gray_r", extent=(0, count, 1, 0), interpolation="none")
    sheet.set_clim(0, 1)
    sheet.set_clip_on(False)
    table.set(xlim=(-4.2, count + BAR + 2.4), ylim=(1.2 + 3 * LINE, -0.1), aspect="equal")
    table.text(-0.2, 0.5, "test digit", ha="right", va="center")
    table.text(count + 0.5, 0.5, "accuracy, all test digits", va="center")
    readings, lines = {}, {}
    percent = [100 * strength for strength in strengths]
    for place, (name, look) in enumerate(LOOKS.items()):
        readings[name] = draw_row(table, count, 1.2 + (place + 0.5) * LINE, look["color"])
        (lines[name],) = plane.plot(percent, [0.0] * len(percent), label=name, **look)
    (cursor,) = plane.plot([0, 0], [0, 100], color="black", linewidth=1, linestyle="--")
    plane.set(xlabel="strength of the shift in %", ylabel="accuracy in %", ylim=(0, 103))
    plane.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), borderaxespad=0, ncols=3)
    domain, batch = _draw_channels(channels)
    artists = DomainArtists(rows, targets, sheet, readings, lines, cursor, domain, batch)
    artists.update(result)
    return artists


def _draw_channels(ax: Axes) -> tuple[Line2D, Line2D]:
    ax.set_yscale("log")
    ax.set(xlim=MEANS, ylim=STDS, xlabel="a channel's mean", ylabel="its standard deviation")
    ax.set_yticks((0.03, 0.1, 0.3, 1, 3), ("0.03", "0.1", "0.3", "1", "3"))
    ax.minorticks_off()
    ax.set_title("What the first norm gives, frozen")
    round_: dict[str, Any] = {"linewidth": 6, "solid_capstyle": "round"}
    (domain,) = ax.plot([], [], color="#0072B2", label="all test digits", **round_)
    (batch,) = ax.plot([], [], color="#D55E00", label="first batch", **(round_ | {"linewidth": 3}))
    ax.plot(0, 1, marker="+", color="black", markersize=18, linestyle="", label="aimed at")
    ax.legend(loc="lower right")
    return domain, batch


def _side_by_side(pictures: Tensor) -> Any:
    """One picture, (H, K * W)."""
    return torch.nn.functional.pad(pictures, (1, 1)).movedim(0, 1).flatten(1).numpy()
