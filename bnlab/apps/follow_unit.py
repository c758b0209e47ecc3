"""Figure 1 of the batch normalisation paper, for any unit and not only a typical one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Slider
from bnlab.apps.sweep import Sweep
from bnlab.plots.percentiles import DriftArtists, draw_drift
from bnlab.recording import Recording


@dataclass(frozen=True)
class Drift:
    """Percentiles of one unit's input at each recorded step, (S, 3), for each run."""

    unit: int
    steps: Sequence[int]
    percentiles: dict[str, Tensor]


class FollowUnit(Sweep[Drift]):
    """15th, 50th and 85th percentile of the input of one unit, during training.

    Args:
        runs: recordings with three quantiles, taken at the same steps, by name.
        layer: dotted name of the layer whose input is shown.
        units: which of its units are offered.
        points: about how many of the recorded steps are drawn.
        **start: values to start from.
    """

    title = "Follow the input of one sigmoid of the last hidden layer"
    size = (8.6, 3.6)

    def __init__(
        self,
        runs: Mapping[str, Recording],
        layer: str,
        *,
        units: Sequence[int] = tuple(range(0, 100, 10)),
        points: int = 100,
        **start: int,
    ) -> None:
        self._series = {
            name: recording.series(layer, "input", "quantiles") for name, recording in runs.items()
        }
        steps = [steps for steps, _ in self._series.values()]
        if any(other != steps[0] for other in steps):
            raise ValueError("the runs were recorded at different steps: train them equally long")
        self._every = slice(None, None, max(1, len(steps[0]) // points))
        self._reach = max(
            float(rows[:, :, list(units)].abs().max()) for _, rows in self._series.values()
        )
        self.controls = (Slider("unit", "unit of the layer", list(units), units[0]),)
        super().__init__(**start)

    def compute(self, unit: int) -> Drift:
        drawn = {name: rows[self._every, :, unit] for name, (_, rows) in self._series.items()}
        steps = next(iter(self._series.values()))[0][self._every]
        return Drift(unit, steps, drawn)

    def draw(self, figure: Figure, result: Drift) -> DriftArtists:
        axes = figure.subplots(1, len(result.percentiles), sharey=True)
        return draw_drift(axes, result, reach=1.35 * self._reach)

    def describe(self, result: Drift) -> str:
        parts = []
        for name, rows in result.percentiles.items():
            width, median = rows[:, 2] - rows[:, 0], rows[:, 1]
            parts.append(
                f"{name}, the band is {width[0]:.2f} wide at the start and {width[-1]:.2f} at the "
                f"end, and the median lies between {median.min():.2f} and {median.max():.2f}"
            )
        return f"Unit {result.unit}: " + "; ".join(parts) + "."
