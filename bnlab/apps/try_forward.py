"""A reader's forward pass beside one that is right, on values wherever their mean lies."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Slider
from bnlab.apps.sweep import Sweep
from bnlab.experiments.beside import Beside, beside
from bnlab.experiments.function_symptoms import Forward, inputs_at, outputs_at
from bnlab.plots.bugs import OutputsArtists, draw_outputs

PASCALS = 101_325.0


@dataclass(frozen=True, eq=False)
class Outputs:
    """What comes out of both codes for each value that goes in, less its mean."""

    mean: float
    inputs: Tensor
    pair: Beside


class TryForward(Sweep[Outputs]):
    """n values of spread 1 about some mean, through two forward passes in float32.

    Args:
        right: `fn(x, weight, bias, eps)`, which is right.
        yours: The reader's.
        **start: values to start from.
    """

    title = "One channel through both forward passes"
    size = (8.8, 3.8)
    controls = (
        Slider(
            "mean", "mean of the values", [0.0, 10.0, 100.0, 1e3, 1e4, PASCALS], PASCALS,
            text=lambda value: f"{value:,.0f}",
        ),
        Slider("n", "values in the batch", [2, 3, 4, 8, 16, 64], 64),
    )  # fmt: skip

    def __init__(self, right: Forward, yours: Forward, **start: float) -> None:
        super().__init__(**start)
        self.right, self.yours = right, yours

    def compute(self, mean: float, n: int) -> Outputs:
        x = inputs_at(mean, n)
        found = beside(outputs_at, self.right, self.yours, x)
        centred = (x.double() - x.double().mean()).squeeze(1)
        return Outputs(mean, centred, found)

    def draw(self, figure: Figure, result: Outputs) -> OutputsArtists:
        ax, side = figure.subplots(1, 2, width_ratios=(1.5, 1))
        return draw_outputs(ax, side, result)

    def describe(self, result: Outputs) -> str:
        right, yours = result.pair.right, result.pair.yours
        lost = int(yours.isnan().sum())
        said = f"{lost} NaN" if lost else f"a spread of {yours.std(correction=0):.3f}"
        return (
            f"{len(result.inputs)} values of mean {result.mean:,.0f}: right is a spread of "
            f"{right.std(correction=0):.3f}; your code gives {result.pair.trouble or said}."
        )
