"""Finished trainings with and without a penalty on gamma, and what is left after cutting units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Choice, Slider, Value, plain
from bnlab.apps.sweep import Sweep
from bnlab.experiments.pruning import ORDERS
from bnlab.plots.pruning import PruningArtists, draw_pruning
from bnlab.training import Runs


@dataclass(frozen=True)
class Pruning:
    """Ascending gammas by seed, (S, U); a share; by order of cutting the accuracy, (S, P)."""

    penalty: float
    gamma: Tensor
    share: float
    accuracy: dict[str, Tensor]


class PruneUnits(Sweep[Pruning]):
    """Accuracy against the share of units cut: by the smallest gamma, at random, by the largest.

    Args:
        runs: of `experiments.pruning.Pruned` results over an axis `penalty`, at least two seeds.
        shares: what the results were measured at.
        **start: values to start from.
    """

    title = "Cut units from trained networks"
    size = (9.4, 4.3)

    def __init__(self, runs: Runs, shares: Sequence[float], **start: float) -> None:
        self.runs, self.shares = runs, list(shares)
        penalties = list(runs.axes["penalty"])
        self.controls = (
            Slider("share", "units cut", self.shares, self.shares[0], text="{:.0%}".format),
            Choice("penalty", "penalty on γ", penalties, penalties[0], text=_or_none),
        )
        super().__init__(**start)

    def compute(self, share: float, penalty: float) -> Pruning:
        runs = self.runs.where(penalty=penalty)
        accuracy = zip(ORDERS, (runs["smallest"], runs["random"], runs["largest"]), strict=True)
        return Pruning(penalty, runs["gamma"], share, dict(accuracy))

    def draw(self, figure: Figure, result: Pruning) -> PruningArtists:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.6))
        highest = self.runs["gamma"].max().item()
        return draw_pruning((left, right), result, self.shares, highest=highest)

    def describe(self, result: Pruning) -> str:
        place = self.shares.index(result.share)
        right = {order: 100 * each[:, place] for order, each in result.accuracy.items()}
        words = [f"{order} {each.mean():.1f} ± {each.std():.1f} %" for order, each in right.items()]
        return (
            f"Penalty {result.penalty:g}, |γ| from {result.gamma.min():.4f} to "
            f"{result.gamma.max():.2f}; with {result.share:.0%} of each layer's units cut, "
            f"{len(result.gamma)} seeds: {', '.join(words)}."
        )


def _or_none(value: Value) -> str:
    return plain(value) if value else "none"
