"""How the loss falls while networks train: every seed thin, their mean thick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import Tensor

COLOURS, LINES = ("#D55E00", "#0072B2", "#009E73"), ("-", "--", ":")


class Curves(Protocol):
    """By network and norm the loss of every seed, (S, T), and the accuracy at the end, (S)."""

    @property
    def seen(self) -> Sequence[int]: ...
    @property
    def loss(self) -> Mapping[str, Mapping[str, Tensor]]: ...
    @property
    def accuracy(self) -> Mapping[str, Mapping[str, Tensor]]: ...


@dataclass
class CurvesArtists:
    """By network and norm: all seeds as one line with gaps, their mean, the accuracy in words."""

    seeds: dict[tuple[str, str], Line2D]
    means: dict[tuple[str, str], Line2D]
    texts: dict[tuple[str, str], Text]

    def update(self, result: Curves) -> None:
        """Move every line to `result`."""
        for (network, norm), mean in self.means.items():
            loss = result.loss[network][norm]
            gap = torch.full((len(loss), 1), torch.nan)
            x = [*result.seen, torch.nan] * len(loss)
            self.seeds[network, norm].set_data(x, torch.cat((loss, gap), 1).flatten().numpy())
            mean.set_data(list(result.seen), loss.mean(0).numpy())
            accuracy = result.accuracy[network][norm].mean().item()
            self.texts[network, norm].set_text(f"{norm}: {100 * accuracy:.0f} % right at the end")


def draw_curves(
    axes: Sequence[Axes], result: Curves, *, limits: tuple[float, float] = (0.03, 5.0)
) -> CurvesArtists:
    """Draw the training loss of each network in its own panel, the norms on one scale.

    Args:
        axes: one for each network.
        result: at least one seed; the norms of all networks alike, at most three.
        limits: ends of the vertical axis, which is logarithmic.
    """
    artists = CurvesArtists({}, {}, {})
    for ax, (network, norms) in zip(axes, result.loss.items(), strict=True):
        ax.set(title=network, xlabel="digits seen", yscale="log", ylim=limits)
        ax.set(xlim=(0, result.seen[-1]))
        ax.set_yticks([0.1, 0.3, 1, 3], ["0.1", "0.3", "1", "3"])
        ax.minorticks_off()
        for place, (norm, colour, line) in enumerate(zip(norms, COLOURS, LINES, strict=False)):
            (seeds,) = ax.plot([], [], color=colour, linewidth=0.8, alpha=0.5)
            (mean,) = ax.plot([], [], color=colour, linestyle=line, label=f"{norm}, mean of seeds")
            words: dict[str, Any] = {"transform": ax.transAxes, "color": colour, "size": 14}
            text = ax.text(0.03, 0.13 - 0.09 * place, "", va="center", **words)
            key = (network, norm)
            artists.seeds[key], artists.means[key], artists.texts[key] = seeds, mean, text
    axes[0].set_ylabel("training loss")
    axes[-1].legend(loc="upper right")
    artists.update(result)
    return artists
