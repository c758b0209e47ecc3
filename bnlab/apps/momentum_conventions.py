"""The same momentum as torch and as Keras write it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Slider, Value
from bnlab.apps.sweep import Sweep
from bnlab.functional import update_running
from bnlab.plots.momentum import MomentumArtists, draw_momentum

BATCHES = 40


@dataclass(frozen=True)
class Weights:
    """How much each past batch counts; the newest first, and what is left of the start."""

    torch_momentum: float
    keras_momentum: float
    weights: Tensor
    start_left: float


def both(value: Value) -> str:
    """A momentum in both conventions."""
    return f"torch {value:g} = Keras {1 - float(value):g}"


class MomentumConventions(Sweep[Weights]):
    """How much each past batch counts in a running statistic."""

    title = "One setting, two names: the weight of the new value, or of the old"
    size = (9.0, 4.4)
    values = (0.001, 0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0)
    controls = (Slider("momentum", "momentum", values, 0.1, text=both),)

    def compute(self, momentum: float) -> Weights:
        # Batch k is 1 in place k and 0 elsewhere, so that the average shows what each one counts.
        running = torch.zeros(BATCHES + 1)
        running[0] = 1.0
        for batch in torch.eye(BATCHES + 1)[1:]:
            update_running(running, batch, momentum)
        return Weights(momentum, 1 - momentum, running[1:].flip(0), running[0].item())

    def draw(self, figure: Figure, result: Weights) -> MomentumArtists:
        scales, below = figure.subplots(2, 1, height_ratios=(1, 2.2))
        return draw_momentum((scales, below), result)

    def describe(self, result: Weights) -> str:
        half = int((result.weights.cumsum(0) < 0.5).sum()) + 1
        reach = f"{half} newest make up half" if half <= BATCHES else "last 40 do not make up half"
        return (
            f"torch's momentum={result.torch_momentum:g} is Keras's "
            f"momentum={result.keras_momentum:g}: the newest batch counts "
            f"{100 * result.weights[0].item():.3g} %, and of all batches the {reach}."
        )
