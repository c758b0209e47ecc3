"""What batch normalisation takes from a gradient: its part along 1, and its part along x̂."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Choice, Slider
from bnlab.apps.sweep import Sweep
from bnlab.functional import moments, normalize, normalize_backward
from bnlab.plots.computation_graph import decimal
from bnlab.plots.projection import ProjectionArtists, draw_projection

INPUTS = (1.0, 2.0, 3.5)
THROUGH, CONSTANT = "passed through", "taken for constants"
PARTS = [-1.5, -0.75, 0.0, 0.75, 1.5]


@dataclass(frozen=True)
class Projected:
    """A gradient of three samples before and after, in samples and in three directions."""

    radius: float
    arriving: Tensor
    leaving: Tensor
    samples: tuple[Tensor, Tensor]
    dots: tuple[float, float]


class ProjectGradient(Sweep[Projected]):
    """Three samples of one channel as one point in space, and the gradient that arrives there."""

    title = "What is left of a gradient of three samples?"
    size = (8.6, 4.7)
    controls = (
        Slider("shift", "part along 1", PARTS, 1.5),
        Slider("stretch", "part along x̂", PARTS, 0.75),
        Slider("rest", "part across both", [-1.5, 0.0, 1.5], 1.5),
        Choice("statistics", "μ and σ are", [THROUGH, CONSTANT], THROUGH),
    )

    def compute(self, shift: float, stretch: float, rest: float, statistics: str) -> Projected:
        x = torch.tensor(INPUTS, dtype=torch.float64)
        mean, var = moments(x, dim=0)
        x_hat, rstd = normalize(x, mean, var, eps=0.0), torch.rsqrt(var)
        one, along = torch.ones_like(x) / len(x) ** 0.5, x_hat / x_hat.norm()
        directions = torch.stack([along, torch.linalg.cross(one, along), one])

        parts = torch.tensor([stretch, rest, shift], dtype=torch.float64)
        arriving = parts @ directions
        if statistics == THROUGH:
            leaving = normalize_backward(arriving, x_hat, rstd, dim=0)
        else:
            leaving = arriving * rstd
        return Projected(
            radius=x_hat.norm().item(),
            arriving=parts,
            leaving=directions @ leaving,
            samples=(arriving, leaving),
            dots=(leaving.sum().item(), (leaving @ x_hat).item()),
        )

    def draw(self, figure: Figure, result: Projected) -> ProjectionArtists:
        figure.set_layout_engine("none")
        left, right = figure.add_axes((0, 0, 0.62, 1)), figure.add_axes((0.63, 0.03, 0.36, 0.94))
        return draw_projection((left, right), result)

    def describe(self, result: Projected) -> str:
        arriving, leaving = (", ".join(map(decimal, each.tolist())) for each in result.samples)
        one, along = map(decimal, result.dots)
        return (
            f"({arriving}) arrives and ({leaving}) goes on to x; its dot product with 1 is {one}, "
            f"with x̂ {along}."
        )
