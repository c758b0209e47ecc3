"""Loss along the step that a gradient asks for, and what of the promise is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

LOOKS = (("#D55E00", "s", "--"), ("#0072B2", "o", "-"))
LOWEST = -2.0
"""Lowest kept share that is drawn; what is lower stands at the edge."""


class Along(Protocol):
    """By kind of network, one row a seed: losses, (S, 1 + K), and kept shares, (S, K)."""

    @property
    def step_sizes(self) -> Sequence[float]: ...
    @property
    def shares(self) -> Sequence[float]: ...
    @property
    def loss(self) -> Mapping[str, Tensor]: ...
    @property
    def kept(self) -> Mapping[str, Tensor]: ...


@dataclass
class AlongArtists:
    """For each kind of network a line a seed, in each of two panels."""

    loss: dict[str, list[Line2D]]
    kept: dict[str, list[Line2D]]

    def update(self, result: Along) -> None:
        """Move every line to `result`."""
        for name, lines in self.loss.items():
            for line, losses in zip(lines, result.loss[name], strict=True):
                line.set_ydata(losses.numpy())
        for name, lines in self.kept.items():
            for line, kept in zip(lines, result.kept[name].clamp_min(LOWEST), strict=True):
                line.set_ydata(torch.cat([torch.ones(1, dtype=kept.dtype), kept]).numpy())


def draw_along(
    axes: tuple[Axes, Axes], result: Along, *, losses: tuple[float, float]
) -> AlongArtists:
    """Draw the loss against the step size, and the kept share against the relative one.

    Args:
        axes: left for the loss, right for the kept share.
        result: what to draw.
        losses: smallest and largest loss that will be drawn.
    """
    left, right = axes
    artists = AlongArtists(
        _lines(left, [0.0, *result.step_sizes], result.loss),
        _lines(right, [0.0, *(100 * share for share in result.shares)], result.kept),
    )
    left.set(title="Loss along the step", xlabel="step size (times the gradient)", ylabel="loss")
    left.set(yscale="log", ylim=(losses[0] / 1.3, losses[1] * 1.3))
    right.set(title="Promised decrease: share kept", ylim=(LOWEST - 0.1, 1.1))
    right.set(xlabel="step in % of each matrix's size", ylabel="kept of the promise")
    right.axhline(0, color="black", linewidth=1)
    left.legend(loc="lower left")
    artists.update(result)
    return artists


def _lines(ax: Axes, x: Sequence[float], rows: Mapping[str, Tensor]) -> dict[str, list[Line2D]]:
    lines: dict[str, list[Line2D]] = {}
    for (name, values), (color, marker, style) in zip(rows.items(), LOOKS, strict=True):
        lines[name] = []
        for seed in range(len(values)):
            (line,) = ax.plot(
                x, [1.0] * len(x), color=color, marker=marker, linestyle=style, linewidth=1.4,
                markersize=4, alpha=0.8, label=name if seed == 0 else "_",
            )  # fmt: skip
            lines[name].append(line)
    return lines
