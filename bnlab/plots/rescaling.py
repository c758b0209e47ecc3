"""Outputs and gradient of a network whose weights are multiplied, beside the ones before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import Tensor

OUTPUTS, GRADIENT, THEORY = "#0072B2", "#D55E00", "#000000"


def as_fraction(scale: float | str) -> str:
    """4 as 4, a quarter as 1/4."""
    return f"{scale:g}" if float(scale) >= 1 else f"1/{1 / float(scale):g}"


class RescaledWeights(Protocol):
    """Outputs before and after, and the gradient's size for every scale, the shown one among."""

    @property
    def before(self) -> Tensor: ...
    @property
    def after(self) -> Tensor: ...
    @property
    def scales(self) -> Sequence[float]: ...
    @property
    def gradients(self) -> Sequence[float]: ...  # relative to the one at scale 1
    @property
    def place(self) -> int: ...  # of the shown scale among them


@dataclass
class RescalingArtists:
    """A dot an output, a line of gradients with the present one on it, and words."""

    reach: tuple[float, float]
    outputs: Line2D
    beyond: Text
    line: Line2D
    now: Line2D

    def update(self, result: RescaledWeights) -> None:
        """Move everything to `result`."""
        low, high = self.reach
        after = result.after.flatten()
        outside = int(((after < low) | (after > high)).sum())
        self.outputs.set_data(result.before.flatten().numpy(), after.numpy())
        self.beyond.set_text(f"{outside} of {len(after)} lie outside" if outside else "")
        self.line.set_ydata(result.gradients)
        self.now.set_data([result.scales[result.place]], [result.gradients[result.place]])


def draw_rescaling(axes: tuple[Axes, Axes], result: RescaledWeights) -> RescalingArtists:
    """Draw outputs after against outputs before, and the gradient's size against the scale.

    Args:
        axes: left for the outputs, right for the gradient.
        result: of a batch.
    """
    left, right = axes
    reach = 1.6 * result.before.abs().max().item()
    left.plot([-reach, reach], [-reach, reach], color=THEORY, linewidth=1.2, label="unchanged")
    (outputs,) = left.plot([], [], "o", color=OUTPUTS, markersize=5, alpha=0.6, label="an output")
    beyond = left.text(0.97, 0.04, "", transform=left.transAxes, ha="right", size=12)
    left.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", title="Outputs")
    left.set(xlabel="f(w)", ylabel="f(a w)")
    left.legend(loc="upper left")

    scales = torch.tensor(result.scales)
    right.plot(scales, 1 / scales, "--", color=THEORY, linewidth=1.4, label="1 / a")
    (line,) = right.plot(
        scales, scales, "o-", color=GRADIENT, markersize=5, linewidth=1.4, label="measured"
    )
    (now,) = right.plot([], [], "o", color=GRADIENT, markersize=13, markeredgecolor="black")
    right.set(title="Size of the gradient", xlabel="a", ylabel="‖∇f(a w)‖ / ‖∇f(w)‖")
    right.set(xscale="log", yscale="log", ylim=(1e-4, 1e5))
    ticks = result.scales[::2]
    right.set_xticks(ticks, [as_fraction(a) for a in ticks])
    right.minorticks_off()
    right.legend(loc="upper right")
    artists = RescalingArtists((-reach, reach), outputs, beyond, line, now)
    artists.update(result)
    return artists
