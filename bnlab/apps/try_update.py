"""A reader's running update beside one that is right, for every momentum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Slider
from bnlab.apps.sweep import Sweep
from bnlab.experiments.beside import Beside, beside
from bnlab.experiments.function_symptoms import mean_path
from bnlab.plots.bugs import BesideArtists, draw_beside


class TryUpdate(Sweep[Beside]):
    """The running mean of a pixel while batches of real digits pass by.

    Args:
        right: `fn(running_mean, running_var, x, momentum)`, which is right.
        yours: The reader's.
        pixels: Values of one channel, (N, 1).
        **start: values to start from.
    """

    title = "The running mean of one pixel, batch after batch"
    size = (8.8, 3.6)
    controls = (
        Slider("momentum", "momentum", [0.0, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 1.0], 0.1),
    )

    def __init__(
        self, right: Callable[..., Any], yours: Callable[..., Any], pixels: Tensor, **start: float
    ) -> None:
        super().__init__(**start)
        self.right, self.yours, self.pixels = right, yours, pixels

    def compute(self, momentum: float) -> Beside:
        return beside(mean_path, self.right, self.yours, self.pixels, momentum)

    def draw(self, figure: Figure, result: Beside) -> BesideArtists:
        ax = figure.subplots()
        mean = self.pixels.mean().item()
        ax.axhline(mean, color="black", linewidth=1.4, linestyle=":", label="all digits")
        artists = draw_beside(ax, range(len(result.right)), result, marks=False)
        ax.legend(loc="lower center", ncols=3)
        ax.set(xlabel="batches seen", ylabel="running mean", ylim=(-0.05, 0.75))
        return artists

    def describe(self, result: Beside) -> str:
        right, yours = (
            (each[1:] - each[:-1]).abs().mean() for each in (result.right, result.yours)
        )
        said = result.trouble or f"your code's by {yours:.3f}"
        return (
            f"From batch to batch the right running mean moves by {right:.3f} on average; {said}."
        )
