"""A trained network through a file: what is saved, how it is loaded, in which mode it answers."""

from __future__ import annotations

from functools import cached_property
from math import isqrt

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from bnlab.apps.controls import Choice
from bnlab.apps.sweep import Sweep
from bnlab.data import Dataset
from bnlab.experiments.round_trip import (
    BATCHES,
    LOADED,
    MODES,
    SAVED,
    RoundTrip,
    explain,
    round_trips,
)
from bnlab.plots.round_trip import RoundTripArtists, draw_round_trip


class SaveAndLoad(Sweep[RoundTrip]):
    """The answers of a network before it was saved, and after it was loaded from its file.

    Args:
        model: a trained classifier of flat, square pictures with batch norm; left as it is.
        fresh: the same architecture, untrained: what each file is loaded into.
        data: its test split is asked.
        **start: values to start from.
    """

    title = "Save a network, load it, ask it again"
    size = (10.4, 5.9)
    controls = (
        Choice("saved", "saved", SAVED, SAVED[0]),
        Choice("loaded", "loaded with", LOADED, LOADED[0]),
        Choice("mode", "asked in", MODES, MODES[0], unit="mode"),
        Choice("batches", "last batches", BATCHES, BATCHES[0]),
    )

    def __init__(self, model: nn.Module, fresh: nn.Module, data: Dataset, **start: str) -> None:
        super().__init__(**start)
        self.model, self.fresh, self.asked = model, fresh, data.test

    @cached_property
    def results(self) -> dict[tuple[str, str, str, str], RoundTrip]:
        """Every way through a file, by the values of the controls."""
        return round_trips(self.model, self.fresh, self.asked)

    def compute(self, saved: str, loaded: str, mode: str, batches: str) -> RoundTrip:
        return self.results[saved, loaded, mode, batches]

    def draw(self, figure: Figure, result: RoundTrip) -> RoundTripArtists:
        grid = figure.add_gridspec(2, 3, height_ratios=(1.1, 1), width_ratios=(1, 1.35, 1.35))
        places = grid[0, :], grid[1, 0], grid[1, 1], grid[1, 2]
        table, plane, means, variances = (figure.add_subplot(place) for place in places)
        inputs, targets = self.asked.inputs, self.asked.targets
        rows = torch.stack([(targets == each).nonzero()[0, 0] for each in targets.unique()])
        seen = [answers for each in self.results.values() for answers in each.every]
        return draw_round_trip(
            (table, plane, means, variances),
            result,
            _square(inputs[rows]),
            targets,
            rows,
            logits=_around(torch.cat([answers.logits[rows] for answers in seen])),
            mean=_around(torch.cat([answers.mean for answers in seen])),
            var=_around(torch.cat([answers.var for answers in seen])),
        )

    def describe(self, result: RoundTrip) -> str:
        why = explain(result)
        if result.answers is None or result.afterwards is None:
            return f"{'Refused' if result.before is None else 'Loaded, no answer'}. {why}"
        gap = result.gap(result.answers)
        words = "equal bit for bit" if gap == 0 else f"largest gap of a logit {gap:.1f}"
        shares = result.original, result.answers, result.afterwards
        saved, loaded, later = (f"{100 * each.accuracy:.1f} %" for each in shares)
        after = "" if result.mode == "eval" else f", {later} in eval mode afterwards"
        return f"Loaded, {words}; accuracy {loaded} (saved: {saved}){after}. {why}"


def _around(values: Tensor) -> tuple[float, float]:
    """Lowest and highest value."""
    return values.min().item(), values.max().item()


def _square(flat: Tensor) -> Tensor:
    side = isqrt(flat.shape[-1])
    return flat.view(-1, side, side)
