"""Values on a sigmoid, and how far an affine map has taken them back to where they came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from torch import Tensor

VALUES, CURVE, TANGENT = "#D55E00", "#0072B2", "#000000"


class Undoing(Protocol):
    """Values after γ and β, and their distance from the values before normalising."""

    @property
    def output(self) -> Tensor: ...
    @property
    def path(self) -> Tensor: ...  # share of the way, 0 to 1
    @property
    def distances(self) -> Tensor: ...  # at each point of the path
    @property
    def at(self) -> int: ...  # where on the path `output` is


@dataclass
class UndoingArtists:
    """A histogram under a sigmoid; the distance along the whole path with a marker on it."""

    edges: Tensor
    steps: StepPatch
    line: Line2D
    marker: Line2D
    floor: float

    def update(self, result: Undoing) -> None:
        """Show the values and the place on the path of `result`."""
        counts = torch.histogram(result.output.flatten().float(), self.edges).hist
        self.steps.set_data((counts / counts.max().clamp(min=1)).numpy())
        heights = result.distances.clamp(min=self.floor)
        self.line.set_data(result.path.numpy(), heights.numpy())
        self.marker.set_data([result.path[result.at].item()], [heights[result.at].item()])


def draw_undoing(
    axes: tuple[Axes, Axes], result: Undoing, *, linear: float, reach: float = 9.0
) -> UndoingArtists:
    """Draw where values meet a sigmoid, and how far they are from the values before normalising.

    Args:
        axes: left for the sigmoid, right for the distance.
        result: values on their way back.
        linear: the sigmoid is shaded as nearly straight from `-linear` to `linear`.
        reach: the left horizontal axis runs from `-reach` to `reach`.
    """
    left, right = axes
    x = torch.linspace(-reach, reach, 121)
    edges = torch.linspace(-reach, reach, 61)
    left.axvspan(-linear, linear, color="#DDDDDD", label="nearly straight")
    steps = left.stairs([0.0] * 60, edges.numpy(), fill=True, color=VALUES, alpha=0.55)
    steps.set_label("values")
    _ = left.plot(x, x.sigmoid(), color=CURVE, linewidth=3, label="sigmoid")
    _ = left.plot(x, 0.5 + x / 4, color=TANGENT, linestyle="--", linewidth=1.6, label="tangent")
    left.set(xlabel="input of the sigmoid", xlim=(-reach, reach))
    left.set(ylim=(0, 1.75), yticks=[0, 0.5, 1])
    left.legend(loc="upper left", ncols=2, columnspacing=1.0, handlelength=1.4)

    floor = 1e-17
    (line,) = right.plot([], [], color=VALUES, linewidth=2.5)
    (marker,) = right.plot([], [], "o", color="black", markersize=11)
    right.set(xlabel="way from (γ, β) = (1, 0)", xlim=(-0.04, 1.04), ylim=(floor, 100))
    right.set(yscale="log", yticks=[1e-16, 1e-12, 1e-8, 1e-4, 1])
    right.set_title("Largest |output − input|")
    artists = UndoingArtists(edges, steps, line, marker, floor)
    artists.update(result)
    return artists
