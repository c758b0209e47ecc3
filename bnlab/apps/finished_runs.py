"""Finished runs of a sweep: how each of them went, and where it stands among the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Choice, Control, Slider, Value
from bnlab.apps.sweep import Sweep
from bnlab.plots.finished_runs import FinishedArtists, draw_finished
from bnlab.training.runs import Runs, last

LABELS = {"lr": "learning rate", "batch_size": "batch size"}


@dataclass(frozen=True)
class Setting:
    """What became of each kind of network at one setting, and along the whole axis."""

    values: dict[str, Value]
    place: float
    seen: Tensor
    loss: dict[str, Tensor]
    accuracy: dict[str, Tensor]
    stopped: dict[str, int]
    along: dict[str, Tensor]


class FinishedRuns(Sweep[Setting]):
    """The runs of a sweep, one setting at a time: the loss as it fell, the accuracy at the end.

    Args:
        runs: histories over the axes `compare`, `along` and perhaps more; all but `compare` and the
            seeds become controls.
        along: the axis, of numbers, that the accuracy is drawn along.
        compare: the axis whose values are drawn side by side, at most three.
        points: the loss is averaged over so many equal parts of a run.
        **start: values to start from.

    Raises:
        ValueError: `runs` has no axis called `along` or `compare`, or an unknown batch size.
    """

    title = "Finished runs, one setting at a time"
    size = (10.4, 4.2)

    def __init__(
        self,
        runs: Runs,
        *,
        along: str = "lr",
        compare: str = "norm",
        points: int = 16,
        **start: Value,
    ) -> None:
        for axis in (along, compare):
            if axis not in runs.axes:
                raise ValueError(f"the runs have no axis {axis!r}; there are {list(runs.axes)}")
        self.runs, self.along, self.compare, self.points = runs, along, compare, points
        # 0 where it is an axis: there the control tells.
        self.batch_size = runs.fixed.get("batch_size", getattr(runs.run, "batch_size", 0))
        if not self.batch_size and "batch_size" not in runs.axes:
            raise ValueError(
                "the batch size is neither an axis of the runs nor known otherwise: "
                "sweep over a Training, or name batch_size in the grid"
            )
        self.controls = tuple(
            _control(name, list(values))
            for name, values in runs.axes.items()
            if name not in (compare, "seed")
        )
        super().__init__(**start)

    def compute(self, **values: Value) -> Setting:
        others = {name: value for name, value in values.items() if name != self.along}
        size = int(values.get("batch_size", self.batch_size))
        of_size = {"batch_size": size} if "batch_size" in self.runs.axes else {}
        steps = int(self.runs.where(**of_size)["loss"].isnan().logical_not().sum(-1).max())
        parts = torch.arange(steps).tensor_split(min(self.points, steps))
        loss, accuracy, stopped, along = {}, {}, {}, {}
        for kind in map(str, self.runs.axes[self.compare]):
            runs = self.runs.where(**{self.compare: kind})
            here = runs.where(**values)
            each = here["loss"][:, :steps]
            loss[kind] = torch.stack([each[:, part].mean(1) for part in parts], 1)
            stopped[kind] = int(here["stopped"].sum())
            accuracy[kind] = last(here["test_accuracy"])
            along[kind] = last(runs.where(**others)["test_accuracy"]).T
        seen = torch.tensor([size * (int(part[-1]) + 1) for part in parts])
        place = float(values[self.along])
        return Setting(values, place, seen, loss, accuracy, stopped, along)

    def draw(self, figure: Figure, result: Setting) -> FinishedArtists:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
        label = LABELS.get(self.along, self.along)
        x = [float(value) for value in self.runs.axes[self.along]]
        return draw_finished((left, right), result, x, label=label)

    def describe(self, result: Setting) -> str:
        at = ", ".join(
            f"{control.label} {control.readout(result.values[control.name])}"
            for control in self.controls
        )
        ends = [
            f"{kind} {100 * right.mean():.1f} ± {100 * right.std():.1f} %"
            + (f" ({result.stopped[kind]} stopped)" if result.stopped[kind] else "")
            for kind, right in result.accuracy.items()
        ]
        return (
            f"At {at}, test accuracy, mean ± standard deviation over "
            f"{len(self.runs.axes['seed'])} seeds: {', '.join(ends)}."
        )


def _control(name: str, values: list[Value]) -> Control:
    kind = Choice if isinstance(values[0], str) else Slider
    return kind(name, LABELS.get(name, name), values, values[len(values) // 2])
