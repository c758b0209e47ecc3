"""Two ways to write one variance, and what rounding makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from statistics import pvariance

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnlab import data
from bnlab.apps.controls import Choice, Slider, Value
from bnlab.apps.sweep import Sweep
from bnlab.functional import moments, normalize
from bnlab.plots.precision import PrecisionArtists, draw_precision

MEANS = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6]
Formula = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Errors:
    """Relative errors of formulas over `means`, and what they give at one of them."""

    means: list[float]
    errors: dict[str, list[float]]
    at: int
    words: dict[str, str]
    dtype: str
    held: bool


class VariancePrecision(Sweep[Errors]):
    """Your formulas for a variance on 1,000 values of variance 1, wherever their mean lies.

    The values are rounded to the chosen dtype first, and the error is taken against the variance
    of the rounded values, computed exactly: it is the formula's own.

    Args:
        formulas: name to function of a row of values, at most three.
        **start: values to start from.
    """

    title = "How precise is a variance?"
    size = (8.6, 4.2)
    controls = (
        Slider("mean", "mean of the values", MEANS, 1.0, text=lambda value: f"{value:,.0f}"),
        Choice("dtype", "dtype", ["float64", "float32", "bfloat16", "float16"], "float32"),
    )

    def __init__(self, formulas: Mapping[str, Formula], **start: Value) -> None:
        self.formulas = dict(formulas)
        self._errors = cache(self._errors_of)
        super().__init__(**start)

    def compute(self, mean: float, dtype: str) -> Errors:
        rows = [self._errors(each, dtype) for each in MEANS]
        errors = {name: [row[name][0] for row in rows] for name in self.formulas}
        at = MEANS.index(mean)
        words = {
            # What is wrong by half and more is noise of rounding, not a number to quote.
            name: f"{var:.3g}" if error < 0.5 else "lost"
            for name, (error, var) in rows[at].items()
        }
        held = bool(self._values(mean, dtype).double().isfinite().all())
        return Errors(MEANS, errors, at, words, dtype, held)

    def _values(self, mean: float, dtype: str) -> Tensor:
        standard = data.synthetic((1000,), seed=0).double()
        standard = normalize(standard, *moments(standard, dim=0), eps=0.0)
        return (standard + mean).to(getattr(torch, dtype))

    def _errors_of(self, mean: float, dtype: str) -> dict[str, tuple[float, float]]:
        values = self._values(mean, dtype)
        # `pvariance` calculates with fractions, so nothing is rounded before the end.
        true = pvariance(values.tolist()) if values.isfinite().all() else torch.nan
        found = {name: formula(values).double().item() for name, formula in self.formulas.items()}
        return {
            name: (abs(var / true - 1) if true > 0 and var < torch.inf else torch.inf, var)
            for name, var in found.items()
        }

    def draw(self, figure: Figure, result: Errors) -> PrecisionArtists:
        ax, side = figure.subplots(1, 2, width_ratios=(1.5, 1))
        return draw_precision(ax, side, result)

    def describe(self, result: Errors) -> str:
        given = "; ".join(f"{name} {word}" for name, word in result.words.items())
        lost = "" if result.held else f" {result.dtype} cannot hold numbers of this size."
        return f"Mean {result.means[result.at]:,.0f}, {result.dtype}, variance 1: {given}.{lost}"
