"""What γ and β are for: from (1, 0) to (σ, μ), where the layer does nothing at all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnlab import data
from bnlab.apps.controls import Choice, Slider
from bnlab.apps.sweep import Sweep
from bnlab.functional import moments, normalize
from bnlab.plots.undoing import UndoingArtists, draw_undoing

EPS, LINEAR, STEPS = 1e-5, 1.5, 20


@dataclass(frozen=True)
class Undone:
    """Values after γ and β somewhere on the way, and the distance from the input along it."""

    output: Tensor
    path: Tensor
    distances: Tensor
    at: int
    gamma: float
    beta: float
    straight: float


class UndoNormalizing(Sweep[Undone]):
    """512 inputs of a sigmoid: normalised, then scaled and shifted back to where they came from."""

    title = "Give γ and β a free hand"
    size = (8.6, 3.8)
    controls = (
        Slider("way", "way to γ = σ, β = μ", list(range(0, 101, 100 // STEPS)), 0, unit="%"),
        Choice("gamma", "γ ends at", ["σ", "√(σ² + ε)"], "√(σ² + ε)"),
    )

    def compute(self, way: int, gamma: str) -> Undone:
        before = data.synthetic((512,), mean=2.0, std=2.5, seed=1).double()
        mean, var = moments(before, dim=0)
        end = var.sqrt() if gamma == "σ" else (var + EPS).sqrt()
        path = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)
        gammas, betas = torch.lerp(torch.ones_like(end), end, path), path * mean
        outputs = normalize(before, mean, var, gammas[:, None], betas[:, None], EPS)
        at = way * STEPS // 100
        return Undone(
            output=outputs[at],
            path=path,
            distances=(outputs - before).abs().amax(dim=1),
            at=at,
            gamma=gammas[at].item(),
            beta=betas[at].item(),
            straight=(outputs[at].abs() < LINEAR).double().mean().item(),
        )

    def draw(self, figure: Figure, result: Undone) -> UndoingArtists:
        left, right = figure.subplots(1, 2, width_ratios=(1.4, 1))
        return draw_undoing((left, right), result, linear=LINEAR)

    def describe(self, result: Undone) -> str:
        return (
            f"γ = {result.gamma:.2f}, β = {result.beta:.2f}: {100 * result.straight:.0f} % of the "
            f"values meet the sigmoid where it is nearly straight; the layer's output is at most "
            f"{result.distances[result.at].item():.2g} away from its input."
        )
