"""Finished measurements on untrained networks: the gradient on its way back, depth by depth."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Choice, Slider
from bnlab.apps.sweep import Sweep
from bnlab.experiments.explosion import RELU_GROWTH
from bnlab.plots.growth import GrowthArtists, draw_growth
from bnlab.training import Runs


@dataclass(frozen=True)
class Growth:
    """By seed the energy at each layer, (S, L), and the factor per layer, (S); and the theory's."""

    network: str
    energy: Tensor
    growth: Tensor
    theory: float = RELU_GROWTH


class ExplodeGradients(Sweep[Growth]):
    """The squared norm of the gradient at every layer of networks that nobody trained.

    Args:
        runs: of `bnlab.experiments.explosion.send_back` over network, depth and at least two seeds.
        **start: values to start from.
    """

    title = "The gradient on its way back through an untrained network"
    size = (8.6, 3.9)

    def __init__(self, runs: Runs, **start: int | str) -> None:
        self.runs = runs
        networks, depths = list(runs.axes["network"]), list(runs.axes["depth"])
        self.controls = (
            Slider("depth", "depth", depths, depths[-1], unit="layers"),
            Choice("network", "each layer has", networks, networks[0]),
        )
        super().__init__(**start)

    def compute(self, depth: int, network: str) -> Growth:
        runs = self.runs.where(network=network, depth=depth)
        return Growth(network, runs["energy"][:, :depth], runs["growth"])

    def draw(self, figure: Figure, result: Growth) -> GrowthArtists:
        return draw_growth(figure.subplots(), result, deepest=max(self.runs.axes["depth"]))

    def describe(self, result: Growth) -> str:
        seeds, depth = result.energy.shape
        return (
            f"{depth} ReLU layers, {result.network}, {seeds} seeds: the squared norm of the "
            f"gradient is multiplied by {result.growth.mean():.3f} ± {result.growth.std():.3f} "
            f"a layer; at the first layer it is {result.energy[:, 0].log().mean().exp():.1e} "
            "times that at the last."
        )
