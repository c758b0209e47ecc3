"""Spread and shift the inputs of a sigmoid; see what gradient is left."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnlab import data
from bnlab.apps.controls import Slider
from bnlab.apps.sweep import Sweep
from bnlab.plots.saturation import SaturationArtists, draw_saturation

REACH = 16
STEEPEST = 0.25  # the sigmoid's slope at 0, the largest there is


@dataclass(frozen=True)
class Saturated:
    """Inputs of a sigmoid with the gradient that passes at each."""

    inputs: Tensor
    gradients: Tensor
    curve: tuple[Tensor, Tensor, Tensor]
    edge: float

    @property
    def share(self) -> float:
        """Share of inputs at which less than a tenth of the largest gradient passes."""
        return (self.gradients < 0.1 * STEEPEST).float().mean().item()


def slope(z: Tensor) -> Tensor:
    """The sigmoid's derivative at each `z`, from autograd."""
    z = z.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(torch.sigmoid(z).sum(), z)
    return gradient


class SaturateSigmoid(Sweep[Saturated]):
    """2,000 Gaussian inputs of a chosen mean and spread, on the sigmoid and on its slope."""

    title = "Send 2,000 inputs through a sigmoid"
    size = (8.6, 3.8)
    controls = (
        Slider("mean", "shift (mean of the inputs)", [float(m) for m in range(-5, 6)], 3.0),
        Slider("std", "spread (standard deviation)", [0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0], 3.0),
    )

    def compute(self, mean: float, std: float) -> Saturated:
        inputs = data.synthetic((2000,), mean=mean, std=std, seed=0)
        z = torch.linspace(-REACH, REACH, 145)
        # σ(z)(1 - σ(z)) is a tenth of a quarter where z is the root of 40 e^z = (1 + e^z)².
        edge = math.log(19 + math.sqrt(360))
        return Saturated(inputs, slope(inputs), (z, torch.sigmoid(z), slope(z)), edge)

    def draw(self, figure: Figure, result: Saturated) -> SaturationArtists:
        left, right = figure.subplots(1, 2)
        return draw_saturation((left, right), result)

    def describe(self, result: Saturated) -> str:
        mean = result.gradients.mean().item()
        return (
            f"{100 * result.share:.0f} % of the inputs are saturated: less than a tenth of the "
            f"largest gradient passes there. On average {mean:.3f} passes, of at most 0.25; "
            f"through ten such layers {mean**10:.0e}."
        )
