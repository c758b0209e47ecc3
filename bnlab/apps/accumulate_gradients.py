"""Gradients added over micro-batches, beside that of one large batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Choice, Slider, Value
from bnlab.apps.sweep import Sweep
from bnlab.experiments.accumulation import NORMS, Accumulation
from bnlab.experiments.running_spread import Running
from bnlab.plots.accumulation import AccumulatedArtists, draw_accumulated


@dataclass(frozen=True)
class Accumulated:
    """Angles and relative errors over micro-batch sizes, (sizes, draws, matrices); one picked."""

    norm: str
    micro: int
    count: int
    angles: Tensor
    errors: Tensor
    running: Running | None


class AccumulateGradients(Sweep[Accumulated]):
    """Micro-batches of some size and number: how far is their sum from the large batch?

    Args:
        results: of `experiments.accumulation.compare_accumulation`, every combination of their
            norms, micro-batch sizes and numbers.
        **start: values to start from.
    """

    title = "Add up the gradients of micro-batches"
    size = (10.4, 4.4)

    def __init__(
        self, results: Mapping[tuple[str, int, int], Accumulation], **start: Value
    ) -> None:
        self.results = results
        self.micros = sorted({micro for _, micro, _ in results})
        counts = sorted({count for _, _, count in results})
        self.controls = (
            Slider("micro", "samples in a micro-batch", self.micros, self.micros[1]),
            Slider("count", "micro-batches in a step", counts, counts[-1]),
            Choice("norm", "norm", NORMS, NORMS[0]),
        )
        super().__init__(**start)

    def compute(self, micro: int, count: int, norm: str) -> Accumulated:
        along = [self.results[norm, size, count] for size in self.micros]
        angles, errors = (torch.stack([getattr(r, n) for r in along]) for n in ("angle", "error"))
        return Accumulated(
            norm, micro, count, angles, errors, self.results[norm, micro, count].running
        )

    def draw(self, figure: Figure, result: Accumulated) -> AccumulatedArtists:
        left, right = figure.subplots(1, 2)
        matrices = [name.partition(".")[0] for name in next(iter(self.results.values())).matrices]
        steps = next(len(r.running.large.values) for r in self.results.values() if r.running)
        return draw_accumulated((left, right), result, self.micros, matrices, steps=steps)

    def describe(self, result: Accumulated) -> str:
        at = self.micros.index(result.micro)
        angles = result.angles[at].mean(0).tolist()
        norm = {"none": "no norm"}.get(result.norm, f"{result.norm} norm")
        beside = f"one batch of {result.micro * result.count}"
        if result.norm == "ghost batch":
            beside += f", normalised in groups of {result.micro}"
        gap = (
            "equal up to rounding"
            if result.errors[at].max() < 1e-6
            else "at " + ", ".join(f"{each:.0f}°" for each in angles)
        )
        words = (
            f"{norm[0].upper()}{norm[1:]}, {result.count} micro-batches of {result.micro} beside "
            f"{beside}: gradients {gap}"
        )
        if result.running is None:
            return f"{words}; no running statistics."
        spread = result.running.accumulated.spread, result.running.large.spread
        return (
            f"{words}; running means spread by {spread[0]:.3f} σ, {spread[1]:.3f} σ updated once."
        )
