"""A sigmoid, where its inputs fall, and the gradient left there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from torch import Tensor

INPUTS, CURVE, GRADIENT, ZONE = "#0072B2", "black", "#D55E00", "#BDBDBD"
DOTS = 10


class Saturation(Protocol):
    """Inputs of a sigmoid, the gradient that passes at each, and where less than a tenth does."""

    @property
    def inputs(self) -> Tensor: ...
    @property
    def gradients(self) -> Tensor: ...
    @property
    def curve(self) -> tuple[Tensor, Tensor, Tensor]: ...
    @property
    def edge(self) -> float: ...


@dataclass
class SaturationArtists:
    """The histogram of the inputs, dots on the gradient's curve, and a line at their mean."""

    edges: Tensor
    steps: StepPatch
    dots: Line2D
    mean: Line2D
    label: Text

    def update(self, result: Saturation) -> None:
        """Move the histogram, the dots and the line to `result`."""
        counts = torch.histogram(result.inputs, self.edges).hist
        self.steps.set_data((counts / result.inputs.numel()).numpy())
        order = result.inputs.argsort()
        middle = order[len(order) // (2 * DOTS) :: len(order) // DOTS]
        self.dots.set_data(result.inputs[middle].numpy(), result.gradients[middle].numpy())
        mean = result.gradients.mean().item()
        self.mean.set_ydata([mean, mean])
        self.label.set_text(f"mean {mean:.3f}")
        self.label.set_y(mean + 0.006)


def draw_saturation(axes: tuple[Axes, Axes], result: Saturation) -> SaturationArtists:
    """Draw the inputs under the sigmoid, and the gradient that passes at them.

    Args:
        axes: left for the inputs, right for the gradient.
        result: the inputs and gradients, `curve` as (z, sigmoid, slope) to draw through, and
            `edge`: beyond it, on both sides, less than a tenth of the largest gradient passes.
    """
    z, sigmoid, slope = (part.numpy() for part in result.curve)
    reach = float(z[-1])
    left, right = axes
    for ax in axes:
        ax.set(xlabel="input z of the sigmoid", xlim=(-reach, reach))
        for side in (-reach, reach):
            zone = ax.axvspan(
                result.edge if side > 0 else side,
                side if side > 0 else -result.edge,
                facecolor=ZONE,
                alpha=0.35,
                hatch="//",
                edgecolor="white",
            )
    left.set(title="Where the inputs fall", ylim=(0, 1.05), ylabel="share of inputs, sigmoid")
    left.plot(z, sigmoid, color=CURVE, label="sigmoid")
    edges = torch.arange(-reach - 0.5, reach + 1)
    steps = left.stairs(
        [0.0] * (len(edges) - 1),
        edges.numpy(),
        fill=True,
        color=INPUTS,
        alpha=0.75,
        label="inputs",
    )
    left.legend(loc="upper left")

    right.set(title="The gradient left there", ylim=(0, 0.27), ylabel="slope of the sigmoid")
    right.plot(z, slope, color=CURVE)
    (dots,) = right.plot([], [], "o", color=GRADIENT)
    mean = right.axhline(0, color=GRADIENT, linestyle="--", linewidth=1.6)
    label = right.text(reach * 0.97, 0, "", ha="right", color=GRADIENT, fontweight="bold")
    handles = [dots, zone]
    right.legend(handles, ["10 % of inputs", "saturated"], loc="upper left", handlelength=1)
    artists = SaturationArtists(edges, steps, dots, mean, label)
    artists.update(result)
    return artists
