"""A layer's running statistics beside the statistics of all training data, channel by channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from torch import Tensor

COLOURS, MARKERS = ("#D55E00", "#0072B2", "#009E73"), ("o", "^", "x")


def draw_offsets(ax: Axes, offsets: Mapping[str, Tensor]) -> list[Line2D]:
    """Draw how far each channel's statistic lies from a reference, which is the zero line.

    Args:
        ax: where to draw.
        offsets: by name, one number a channel; drawn in the first one's order of size.
    """
    order = next(iter(offsets.values())).argsort()
    channels = torch.arange(len(order))
    ax.axhline(0, color="black", linewidth=1.2)
    ax.grid(False, axis="x")
    lines = []
    for (name, values), colour, marker in zip(offsets.items(), COLOURS, MARKERS, strict=False):
        style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 5, "label": name}
        lines += ax.plot(channels.numpy(), values[order].numpy(), linestyle="", **style)
    ax.set(xlabel="channel, sorted")
    return lines
