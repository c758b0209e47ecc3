"""Why one variance normalises and another is stored."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab import data
from bnlab.apps.controls import Slider
from bnlab.apps.sweep import Sweep
from bnlab.functional import moments
from bnlab.plots.variance_bias import EstimatesArtists, draw_estimates

BATCHES, LARGEST = 4000, 64


@dataclass(frozen=True)
class Estimates:
    """The variance of many batches of n values, biased and unbiased, and the true one."""

    n: int
    biased: Tensor
    unbiased: Tensor
    true: float


class VarianceBias(Sweep[Estimates]):
    """4000 batches of n values each from a law of variance 1, and the two estimates of it."""

    title = "Two estimates of a variance of 1, from n values"
    size = (8.8, 3.5)
    controls = (Slider("n", "n, values per channel", [2, 3, 4, 5, 6, 8, 12, 16, 32, LARGEST], 4),)

    def __init__(self, **start: int) -> None:
        super().__init__(**start)
        self.values = data.synthetic((BATCHES, LARGEST), seed=0)

    def compute(self, n: int) -> Estimates:
        values = self.values[:, :n]
        biased = moments(values, dim=1)[1].squeeze(1)
        return Estimates(n, biased, values.var(dim=1, correction=1), 1.0)

    def draw(self, figure: Figure, result: Estimates) -> EstimatesArtists:
        left, right = figure.subplots(1, 2, sharey=True)
        return draw_estimates((left, right), result)

    def describe(self, result: Estimates) -> str:
        biased, unbiased = result.biased.mean().item(), result.unbiased.mean().item()
        return (
            f"Over {len(result.biased)} batches of n = {result.n}: the biased variance is "
            f"{biased:.3f} on average, the unbiased one {unbiased:.3f}; their ratio "
            f"{unbiased / biased:.3f} is n/(n-1)."
        )
