"""Finished trainings at several batch sizes: how each of them went."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Slider
from bnlab.apps.sweep import Sweep
from bnlab.plots.loss_curves import CurvesArtists, draw_curves
from bnlab.training import Runs


@dataclass(frozen=True)
class Curves:
    """By network and norm the loss of every seed, (S, T), and the accuracy at the end, (S)."""

    batch_size: int
    seen: list[int]
    loss: dict[str, dict[str, Tensor]]
    accuracy: dict[str, dict[str, Tensor]]


class BatchSizeRuns(Sweep[Curves]):
    """The loss as trainings went on, for one batch size at a time.

    Args:
        runs: histories over the axes `network`, `norm`, `size` (of a batch) and the seeds.
        window: samples over which the loss is averaged, so that all sizes are drawn alike; the
            largest batch or a multiple of it.
        **start: values to start from.

    Raises:
        ValueError: a batch size does not divide the window.
    """

    title = "How the trainings went"
    size = (9.4, 3.9)

    def __init__(self, runs: Runs, *, window: int = 64, **start: int) -> None:
        sizes = sorted(runs.axes["size"])
        for size in sizes:
            if window % size:
                raise ValueError(
                    f"a window of {window} samples holds no whole number of batches of {size}: "
                    f"choose a multiple of {size}"
                )
        self.runs, self.window = runs, window
        self.controls = (Slider("batch_size", "batch size", sizes, sizes[0]),)
        super().__init__(**start)

    def compute(self, batch_size: int) -> Curves:
        loss: dict[str, dict[str, Tensor]] = {}
        accuracy: dict[str, dict[str, Tensor]] = {}
        steps = self.window // batch_size
        for network in self.runs.axes["network"]:
            for norm in self.runs.axes["norm"]:
                chosen = self.runs.where(network=network, norm=norm, size=batch_size)
                rows = chosen["loss"]
                whole = rows[:, : rows.shape[1] // steps * steps]
                loss.setdefault(network, {})[norm] = whole.unflatten(1, (-1, steps)).mean(2)
                accuracy.setdefault(network, {})[norm] = chosen["test_accuracy"][:, -1]
        points = next(iter(next(iter(loss.values())).values())).shape[1]
        seen = [self.window * (point + 1) for point in range(points)]
        return Curves(batch_size, seen, loss, accuracy)

    def draw(self, figure: Figure, result: Curves) -> CurvesArtists:
        axes = figure.subplots(1, len(result.loss), sharey=True, squeeze=False)
        return draw_curves(list(axes[0]), result)

    def describe(self, result: Curves) -> str:
        ends = [
            f"{network} {norm} {loss[:, -1].mean():.2f} "
            f"({100 * result.accuracy[network][norm].mean():.0f} % of the test digits right)"
            for network, norms in result.loss.items()
            for norm, loss in norms.items()
        ]
        return (
            f"Batches of {result.batch_size}, training loss over the last {self.window} samples, "
            f"mean over the seeds: {', '.join(ends)}."
        )
