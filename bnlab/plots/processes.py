"""What each process knows of a batch by itself, and how training goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

COLOURS, MARKERS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00"), ("o", "s", "^", "D")
JOINT = "black"
LOOKS: tuple[dict[str, Any], ...] = (
    {"color": JOINT, "linewidth": 7, "alpha": 0.25},
    {"color": "#D55E00", "linewidth": 1.8, "linestyle": (0, (1, 1))},
    {"color": "#0072B2", "linewidth": 2},
)
"""Of one process, which is below the others, of `BatchNorm` and of `SyncBatchNorm`."""


class Run(Protocol):
    """The loss before each step, (T)."""

    @property
    def loss(self) -> Tensor: ...


class Processes(Protocol):
    """Moments within each process, (P, C), of all together, (C), and three trainings by name."""

    @property
    def shares(self) -> tuple[int, ...]: ...
    @property
    def mean(self) -> Tensor: ...
    @property
    def var(self) -> Tensor: ...
    @property
    def joint_mean(self) -> Tensor: ...
    @property
    def joint_var(self) -> Tensor: ...
    @property
    def runs(self) -> Mapping[str, Run]: ...


@dataclass
class ProcessesArtists:
    """For means and deviations: each process's dots, and a line; for the losses, a line a run."""

    units: int
    alone: tuple[tuple[Line2D, ...], tuple[Line2D, ...]]
    joint: tuple[Line2D, Line2D]
    losses: dict[str, Line2D]

    def update(self, result: Processes) -> None:
        """Show another training, of as many processes."""
        pairs = (
            (result.mean, result.joint_mean),
            (result.var.sqrt(), result.joint_var.sqrt()),
        )
        for points, line, (alone, joint) in zip(self.alone, self.joint, pairs, strict=True):
            order = joint.argsort()
            shown = order[torch.linspace(0, len(order) - 1, self.units).round().long()]
            line.set_ydata(joint[shown].numpy())
            for dots, values in zip(points, alone, strict=True):
                dots.set_ydata(values[shown].numpy())
        for way, line in self.losses.items():
            loss = result.runs[way].loss
            line.set_data(range(len(loss)), loss.numpy())


def draw_processes(
    axes: tuple[Axes, Axes, Axes], result: Processes, *, units: int = 24
) -> ProcessesArtists:
    """Draw units' means and deviations within each process and in the batch, and the losses.

    Args:
        axes: for the means, the standard deviations, the losses.
        result: of at most four processes.
        units: how many are shown, from the one with the smallest to the one with the largest.
    """
    means, _, losses = axes
    titles = "Mean of a unit, first batch", "Its standard deviation"
    for ax, title in zip(axes[:2], titles, strict=True):
        ax.set(title=title, xlabel="unit, sorted", xticks=[])
    points, lines = zip(*(_draw_units(ax, result.shares, units) for ax in axes[:2]), strict=True)
    looks = zip(result.runs, LOOKS, strict=True)
    curves = {way: losses.plot([], [], label=way, **look)[0] for way, look in looks}
    losses.set(title="Loss while training", xlabel="step")
    losses.legend()
    artists = ProcessesArtists(units, points, lines, curves)
    artists.update(result)
    for ax in axes:
        ax.relim()
        ax.autoscale_view()
    losses.set_ylim(bottom=0)
    # Under the panels, where it hides no dots.
    means.legend(loc="upper left", borderaxespad=0)
    return artists


def _draw_units(ax: Axes, shares: tuple[int, ...], units: int) -> tuple[tuple[Line2D, ...], Line2D]:
    place = range(units)
    (line,) = ax.plot(place, [0.0] * units, color=JOINT, label=f"all {sum(shares)} digits")
    dots = tuple(
        ax.plot(place, [0.0] * units, color=colour, linestyle="", marker=marker, label=label)[0]
        for colour, marker, label in zip(
            COLOURS,
            MARKERS,
            [f"process {rank}: {share} of them" for rank, share in enumerate(shares)],
            strict=False,
        )
    )
    return dots, line
