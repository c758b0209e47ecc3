"""Multiply the weights that a norm follows, and see who notices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor, nn

from bnlab.apps.controls import Choice, Slider, Value
from bnlab.apps.sweep import Sweep
from bnlab.data import Split
from bnlab.experiments.scale_invariance import rescale_weights
from bnlab.plots.rescaling import RescalingArtists, as_fraction, draw_rescaling

POWERS = range(-8, 9, 2)
SHOWN = 10
"""Outputs are drawn of so many samples, the first of the batch."""


@dataclass(frozen=True)
class Outcome:
    """Outputs of some samples before and after, and the gradient's size for every scale."""

    scale: float
    before: Tensor
    after: Tensor
    scales: Sequence[float]
    gradients: Sequence[float]
    place: int


class RescaleWeights(Sweep[Outcome]):
    """Outputs and gradient of networks whose weights are multiplied by a.

    Args:
        models: by what stands after the weights, in train mode.
        batch: on which outputs and loss are taken.
        names: of the parameters that are multiplied.
        **start: values to start from.
    """

    title = "Multiply the weights by a"
    size = (9.4, 4.4)

    def __init__(
        self, models: Mapping[str, nn.Module], batch: Split, names: Sequence[str], **start: Value
    ) -> None:
        self.scales = [2.0**power for power in POWERS]
        self._results = {
            kind: [rescale_weights(model, batch, names, scale) for scale in self.scales]
            for kind, model in models.items()
        }
        self.controls = (
            Choice("kind", "after these weights", list(models), next(iter(models))),
            Slider("scale", "a", self.scales, 1.0, text=as_fraction),
        )
        super().__init__(**start)

    def compute(self, kind: str, scale: float) -> Outcome:
        results, place = self._results[kind], self.scales.index(scale)
        sizes = [result.gradient.norm().item() for result in results]
        start = self.scales.index(1.0)
        return Outcome(
            scale,
            before=results[start].outputs[:SHOWN],
            after=results[place].outputs[:SHOWN],
            scales=self.scales,
            gradients=[size / sizes[start] for size in sizes],
            place=place,
        )

    def draw(self, figure: Figure, result: Outcome) -> RescalingArtists:
        left, right = figure.subplots(1, 2)
        return draw_rescaling((left, right), result)

    def describe(self, result: Outcome) -> str:
        moved = (result.after - result.before).abs().max().item()
        return (
            f"Weights times {as_fraction(result.scale)}: the outputs move by up to {moved:.1g}, "
            f"and the gradient is {result.gradients[result.place]:.3g} times as large."
        )
