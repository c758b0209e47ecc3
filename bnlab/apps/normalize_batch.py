"""The first slider: move a batch, watch normalising undo the move."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab import data
from bnlab.apps.controls import Slider
from bnlab.apps.sweep import Sweep
from bnlab.functional import moments, normalize
from bnlab.plots.histograms import BeforeAfterArtists, draw_before_after


@dataclass(frozen=True)
class Normalized:
    """A batch of numbers before and after, with the batch statistics used."""

    before: Tensor
    after: Tensor
    mean: Tensor
    var: Tensor


class NormalizeBatch(Sweep[Normalized]):
    """512 numbers of a chosen mean and spread, and what normalising makes of them."""

    title = "Normalise a batch of 512 numbers"
    size = (8.6, 3.4)
    controls = (
        Slider("mean", "mean of the batch", [float(m) for m in range(-6, 7)], 3.0),
        Slider("std", "spread (standard deviation)", [0.25, 0.5, 1.0, 1.5, 2.0], 1.5),
    )

    def compute(self, mean: float, std: float) -> Normalized:
        before = data.synthetic((512,), mean=mean, std=std, seed=0)
        batch_mean, batch_var = moments(before, dim=0)
        return Normalized(before, normalize(before, batch_mean, batch_var), batch_mean, batch_var)

    def draw(self, figure: Figure, result: Normalized) -> BeforeAfterArtists:
        left, right = figure.subplots(1, 2, sharey=True)
        return draw_before_after((left, right), result)

    def describe(self, result: Normalized) -> str:
        std = result.var.sqrt().item()
        return (
            f"Before: mean {result.mean.item():.2f}, standard deviation {std:.2f}. "
            f"After: mean {abs(result.after.mean().item()):.2f}, "
            f"standard deviation {result.after.std(correction=0).item():.2f}."
        )
