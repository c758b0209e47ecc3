"""Finished runs at several batch sizes, answered with three kinds of statistics."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Slider
from bnlab.apps.sweep import Sweep
from bnlab.plots.statistics_gap import AccuraciesArtists, draw_accuracies


@dataclass(frozen=True)
class Accuracies:
    """Accuracy of each seed (rows) with each of the three kinds of statistics (columns)."""

    batch_size: int
    accuracy: Tensor


class StatisticsGap(Sweep[Accuracies]):
    """The seeds' accuracy with the batch's own statistics, the moving average, recalibrated ones.

    Args:
        runs: for each batch size a tensor (seeds, 3) of accuracies, in that order.
        **start: values to start from.
    """

    title = "Which statistics answer best"
    size = (8.6, 4.0)

    def __init__(self, runs: dict[int, Tensor], **start: int) -> None:
        self.runs = runs
        sizes = list(runs)
        self.controls = (Slider("batch_size", "batch size in training", sizes, sizes[-1]),)
        super().__init__(**start)

    def compute(self, batch_size: int) -> Accuracies:
        return Accuracies(batch_size, self.runs[batch_size])

    def draw(self, figure: Figure, result: Accuracies) -> AccuraciesArtists:
        low = min(accuracy.min().item() for accuracy in self.runs.values())
        return draw_accuracies(figure.subplots(), result, low=max(0.0, low - 0.05))

    def describe(self, result: Accuracies) -> str:
        own, average, recalibrated = (100 * result.accuracy.mean(0)).tolist()
        spread = (100 * result.accuracy.std(0)).tolist()
        return (
            f"Batches of {result.batch_size}, mean ± standard deviation over "
            f"{len(result.accuracy)} seeds: the batch's own {own:.1f} ± {spread[0]:.1f} %, moving "
            f"average {average:.1f} ± {spread[1]:.1f} %, recalibrated "
            f"{recalibrated:.1f} ± {spread[2]:.1f} %."
        )
