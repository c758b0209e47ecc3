"""The loss along the gradient, at places along finished trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Slider
from bnlab.apps.sweep import Sweep
from bnlab.plots.along_gradient import AlongArtists, draw_along
from bnlab.training import Runs


@dataclass(frozen=True)
class Along:
    """By kind of network, one row a seed: losses, (S, 1 + K), and kept shares, (S, K)."""

    step: int
    step_sizes: Sequence[float]
    shares: Sequence[float]
    loss: Mapping[str, Tensor]
    kept: Mapping[str, Tensor]


class AlongGradient(Sweep[Along]):
    """Loss against step size, and kept share against relative step, at one place at a time.

    Args:
        runs: trainings as `watch_smoothness` returns them, over one axis `norm` of two names.
        step_sizes: as given to it.
        shares: as given to it.
        **start: values to start from.
    """

    title = "Walk along the gradient"
    size = (9.6, 4.2)

    def __init__(
        self, runs: Runs, step_sizes: Sequence[float], shares: Sequence[float], **start: int
    ) -> None:
        self.runs, self.step_sizes, self.shares = runs, step_sizes, shares
        self.steps: list[int] = runs["steps"][0, 0].tolist()
        self.controls = (Slider("step", "steps of training before", self.steps, self.steps[0]),)
        super().__init__(**start)

    def compute(self, step: int) -> Along:
        place, names = self.steps.index(step), self.runs.axes["norm"]
        loss, kept = (self.runs[name][:, :, place] for name in ("plain.loss", "relative.kept"))
        return Along(
            step,
            self.step_sizes,
            self.shares,
            loss=dict(zip(names, loss, strict=True)),
            kept=dict(zip(names, kept, strict=True)),
        )

    def draw(self, figure: Figure, result: Along) -> AlongArtists:
        left, right = figure.subplots(1, 2)
        loss = self.runs["plain.loss"]
        return draw_along((left, right), result, losses=(loss.min().item(), loss.max().item()))

    def describe(self, result: Along) -> str:
        place = len(result.shares) // 2
        parts = [
            f"{name}: along the step the loss goes from {loss[:, 0].mean():.2f} to between "
            f"{loss.amin(1).mean():.2f} and {loss.amax(1).mean():.2f}; of the decrease promised "
            f"for a step of {100 * result.shares[place]:g} % of the weights "
            f"{_share(result.kept[name][:, place].mean().item())}"
            for name, loss in result.loss.items()
        ]
        return f"After {result.step} steps, means over the seeds. " + ". ".join(parts).strip() + "."


def _share(kept: float) -> str:
    return f"{100 * kept:.0f} % is kept" if kept >= 0 else "nothing is kept: the loss rises"
