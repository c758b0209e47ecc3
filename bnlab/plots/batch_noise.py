"""One sample's score in many random batches, and how its spread falls with their size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import Tensor

from bnlab.plots.layers import change
from bnlab.plots.seeds import draw_seeds

TRAIN, EVAL = "#D55E00", "#0072B2"


class Noise(Protocol):
    """Of every network: its scores in random batches, (S, D), and in eval mode, (S).

    Over all batch sizes the spread of such scores, (S, X).
    """

    @property
    def batch_size(self) -> int: ...
    @property
    def scores(self) -> Tensor: ...
    @property
    def alone(self) -> Tensor: ...
    @property
    def spread(self) -> Tensor: ...


@dataclass
class NoiseArtists:
    """A row of strokes and eval mode's answer for each network, words, a line at the batch size."""

    strokes: Line2D
    alone: Line2D
    words: Sequence[Text]
    cursor: Line2D

    def update(self, result: Noise) -> None:
        """Move everything to `result`."""
        networks, draws = result.scores.shape
        gap = torch.full((networks, draws), torch.nan)
        x = torch.stack((result.scores, result.scores, gap), -1)
        rows = torch.arange(networks)[:, None].expand(networks, draws)
        y = torch.stack((rows - 0.3, rows + 0.3, gap), -1)
        self.strokes.set_data(x.flatten().numpy(), y.flatten().numpy())
        # It stands still; but only what is moved is drawn over the strokes.
        self.alone.set_xdata(result.alone.numpy())
        for text, spread in zip(self.words, result.scores.std(1), strict=True):
            change(text, text=f"± {spread:.2f}")
        self.cursor.set_xdata([result.batch_size, result.batch_size])


def draw_noise(
    axes: Sequence[Axes],
    result: Noise,
    sizes: Sequence[int],
    *,
    label: str,
    limits: tuple[float, float],
) -> NoiseArtists:
    r"""Draw the scores of each network as strokes, and their spread against the batch size.

    Beside the spread stands a line that falls as :math:`1 / \sqrt n`, as the spread of a mean does.

    Args:
        axes: the two.
        result: at least two networks.
        sizes: the batch sizes of the columns of `result.spread`.
        label: what the scores are.
        limits: of their axis, wide enough for every result.
    """
    left, right = axes
    networks = len(result.scores)
    low, high = limits
    left.set(xlabel=label, xlim=(low, high + 0.22 * (high - low)), ylim=(networks - 0.4, -0.6))
    left.set_yticks(range(networks), [f"network {number}" for number in range(1, networks + 1)])
    left.grid(False, axis="y")
    left.axvline(0, color="black", linewidth=1)
    (strokes,) = left.plot([], [], color=TRAIN, linewidth=0.9, alpha=0.5, label="train mode")
    rows = torch.arange(networks)
    look: dict[str, Any] = {"color": EVAL, "marker": "D", "markersize": 8, "linestyle": "none"}
    (alone,) = left.plot(rows.numpy(), rows.numpy(), label="eval mode", zorder=3, **look)
    words = [left.text(high, row, "", va="center", color=TRAIN) for row in range(networks)]
    left.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), ncols=2, handlelength=1.2)

    draw_seeds(right, result.spread, sizes, label="measured", color=TRAIN)
    # Through the largest batches: there the law must hold, if it does at all.
    last = result.spread[:, -1].mean().item() * sizes[-1] ** 0.5
    root = [last / size**0.5 for size in sizes]
    law: dict[str, Any] = {
        "color": "black",
        "linewidth": 1.2,
        "linestyle": "--",
        "label": r"$\propto 1/\sqrt{n}$",
    }
    right.plot(sizes, root, **law)
    cursor = right.axvline(result.batch_size, color="black", linewidth=1.2, linestyle=(0, (2, 2)))
    lowest, highest = result.spread.min().item(), result.spread.max().item()
    right.set(xlabel="batch size $n$", ylabel="spread over the batches", yscale="log")
    right.set_ylim(0.5 * lowest, 1.5 * highest)
    right.set_xscale("log", base=2)
    right.set_xticks(sizes, [str(size) for size in sizes], size=11)
    right.set_yticks([0.1, 0.3, 1, 3, 10], ["0.1", "0.3", "1", "3", "10"])
    right.minorticks_off()
    right.legend(loc="lower left", bbox_to_anchor=(-0.08, 1), ncols=2, handlelength=1.6)
    artists = NoiseArtists(strokes, alone, words, cursor)
    artists.update(result)
    return artists
