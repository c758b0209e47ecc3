"""What several seeds gave in a few named groups: a dot a seed, a bar at the mean."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "D", "^", "v", "P")


def draw_groups(ax: Axes, groups: Mapping[str, Tensor], *, text: str = "{:.1f}") -> list[Line2D]:
    """Draw each group's seeds side by side, and return the dots of each.

    Args:
        ax: where to draw.
        groups: by name one number a seed, (S); at most six groups.
        text: how the mean is written beside its bar.
    """
    if len(groups) > len(COLOURS):
        raise ValueError(f"{len(groups)} groups are more than the {len(COLOURS)} that can be drawn")
    found = []
    for place, (values, colour, marker) in enumerate(
        zip(groups.values(), COLOURS, MARKERS, strict=False)
    ):
        x = place + torch.linspace(-0.12, 0.12, len(values))
        mean = values.mean().item()
        found += ax.plot(x.numpy(), values.numpy(), marker, color=colour, alpha=0.7)
        ax.plot([place - 0.22, place + 0.22], [mean, mean], color=colour, linewidth=3)
        ax.text(place + 0.26, mean, text.format(mean), va="center", color=colour, size=14)
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set_xlim(-0.5, len(groups) - 0.3)
    ax.grid(False, axis="x")
    return found
