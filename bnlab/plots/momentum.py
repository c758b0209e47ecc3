"""One momentum on two scales, and the weight it gives to each past batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from torch import Tensor


class Weights(Protocol):
    """How much each past batch counts; the newest first, and what is left of the start."""

    @property
    def torch_momentum(self) -> float: ...
    @property
    def keras_momentum(self) -> float: ...
    @property
    def weights(self) -> Tensor: ...
    @property
    def start_left(self) -> float: ...


@dataclass
class MomentumArtists:
    """A marker on both scales, a bar a batch, and the number on either scale in words."""

    marker: Line2D
    torch_text: Text
    keras_text: Text
    bars: StepPatch
    together: Line2D
    summary: Text

    def update(self, result: Weights) -> None:
        """Move everything to `result`."""
        self.marker.set_xdata([result.torch_momentum] * 2)
        self.torch_text.set_text(f"torch: momentum={result.torch_momentum:g}")
        self.keras_text.set_text(f"Keras: momentum={result.keras_momentum:g}")
        self.bars.set_data(result.weights.numpy())
        self.together.set_ydata([0.0, *result.weights.cumsum(0).tolist()])
        newest = result.weights[0].item()
        self.summary.set_text(
            f"newest batch {100 * newest:.3g} %\n"
            f"all {len(result.weights)} batches {100 * result.weights.sum().item():.3g} %\n"
            f"older than these {100 * result.start_left:.3g} %"
        )


def draw_momentum(axes: tuple[Axes, Axes], result: Weights) -> MomentumArtists:
    """Draw both scales above the weights of the past batches.

    Args:
        axes: above for the two scales, below for the weights.
        result: the same setting in both conventions, and the weights it gives.
    """
    scales, below = axes
    scales.set(xlim=(-0.02, 1.02), ylim=(0, 1), yticks=[])
    scales.grid(False)
    scales.spines[["left", "bottom"]].set_visible(False)
    scales.axhline(0.5, color="black", linewidth=1.4)
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    scales.set_xticks([])
    for tick in ticks:
        scales.text(tick, 0.62, f"{tick:g}", ha="center", va="bottom", color="#D55E00")
        scales.text(tick, 0.38, f"{1 - tick:g}", ha="center", va="top", color="#0072B2")
    (marker,) = scales.plot([0, 0], [0.3, 0.7], color="black", linewidth=5, solid_capstyle="butt")
    bold: dict[str, Any] = {"size": 14, "weight": "bold", "transform": scales.transAxes}
    torch_text = scales.text(0.5, 1.02, "", ha="center", va="bottom", color="#D55E00", **bold)
    keras_text = scales.text(0.5, -0.02, "", ha="center", va="top", color="#0072B2", **bold)
    count = len(result.weights)
    below.set(xlim=(0, count), ylim=(0, 1), xlabel="batches ago", ylabel="weight")
    edges = torch.arange(count + 1).numpy()
    zeros = torch.zeros(count + 1).numpy()
    style: dict[str, Any] = {"color": "black", "linestyle": "--", "label": "these batches together"}
    (together,) = below.plot(edges, zeros, **style)
    bars = below.stairs([0.0] * count, edges, fill=True, color="#D55E00", alpha=0.75)
    bars.set_label("each batch")
    below.legend(loc="center left", bbox_to_anchor=(1.0, 0.75))
    summary = below.text(1.04, 0.5, "", ha="left", va="top", size=13, transform=below.transAxes)
    artists = MomentumArtists(marker, torch_text, keras_text, bars, together, summary)
    artists.update(result)
    return artists
