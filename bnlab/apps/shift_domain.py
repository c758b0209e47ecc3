"""A trained network meets digits that look otherwise, with frozen, live or new statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from bnlab.apps.controls import Choice, Slider
from bnlab.apps.sweep import Sweep
from bnlab.data import Dataset
from bnlab.experiments.fine_tuning import (
    BATCHES,
    SHIFTS,
    STATISTICS,
    Answers,
    Channels,
    answer_shifted,
    shift,
)
from bnlab.plots.shifted_domain import DomainArtists, draw_domain

STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


@dataclass(frozen=True)
class Domain:
    """Answers in one domain, the accuracy at every strength, and the first norm's input."""

    kind: str
    strength: float
    batches: str
    pictures: Tensor
    answers: Mapping[str, Answers]
    accuracies: Mapping[str, Sequence[float]]
    domain: Channels
    batch: Channels


class ShiftDomain(Sweep[Domain]):
    """The test digits in other domains, answered with statistics of training and of now.

    Args:
        model: a trained classifier of flat, square pictures with batch norm; left as it is.
        data: its test split is asked, its training split recalibrates.
        **start: values to start from.
    """

    title = "Show a trained network other digits"
    size = (10.4, 6.4)
    controls = (
        Slider("strength", "strength", STRENGTHS, 0.0, text="{:.0%}".format),
        Choice("kind", "shift", SHIFTS, SHIFTS[0]),
        Choice("batches", "answered at once", tuple(BATCHES), next(iter(BATCHES))),
    )

    def __init__(self, model: nn.Module, data: Dataset, **start: float | str) -> None:
        super().__init__(**start)
        self.results = answer_shifted(model, data, STRENGTHS)
        self.asked = data.test
        targets = self.asked.targets
        self.rows = torch.stack([(targets == each).nonzero()[0, 0] for each in targets.unique()])

    def compute(self, strength: float, kind: str, batches: str) -> Domain:
        along = [self.results[kind, each, batches].answers for each in STRENGTHS]
        here = self.results[kind, strength, batches]
        flat = shift(self.asked.inputs, kind, strength)[self.rows]
        return Domain(
            kind,
            strength,
            batches,
            flat.unflatten(1, (isqrt(flat.shape[1]), -1)),
            here.answers,
            {name: [answers[name].accuracy for answers in along] for name in STATISTICS},
            _some(here.domain),
            _some(here.batch),
        )

    def draw(self, figure: Figure, result: Domain) -> DomainArtists:
        grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.25))
        axes = (grid[0, :], grid[1, 0], grid[1, 1])
        table, plane, channels = (figure.add_subplot(place) for place in axes)
        return draw_domain(
            (table, plane, channels), result, STRENGTHS, self.asked.targets, self.rows
        )

    def describe(self, result: Domain) -> str:
        shares = [f"{n} {100 * each.accuracy:.1f} %" for n, each in result.answers.items()]
        return (
            f"{result.kind.capitalize()}, {result.strength:.0%}, {result.batches}: right with "
            f"statistics {', '.join(shares)}."
        )


def _some(channels: Channels) -> Channels:
    """Some channels: enough to see where they are."""
    return Channels(channels.mean[::12], channels.std[::12])
