"""Explorers small enough to plant a defect in."""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Choice, Control, Slider
from bnlab.apps.live import Live
from bnlab.apps.sweep import Sweep
from bnlab.plots.histograms import BeforeAfterArtists, draw_before_after


@dataclass(frozen=True)
class Shifted:
    before: Tensor
    after: Tensor


class Toy:
    title = "Shift a batch"
    controls: tuple[Control, ...] = (
        Slider("mean", "mean", [-2.0, -1.0, 0.0, 1.0, 2.0], 0.0, unit="mV"),
        Choice("mode", "mode", ["centre", "leave", "negate"], "centre"),
    )

    def compute(self, mean: float, mode: str, steps: int = 1) -> Shifted:
        before = torch.linspace(-1, 1, 200) + mean * (steps != 0)
        after = {"centre": before - mean, "leave": before, "negate": 1 - before}[mode]
        return Shifted(before, after)

    def draw(self, figure: Figure, result: Shifted) -> BeforeAfterArtists:
        left, right = figure.subplots(1, 2, sharey=True)
        return draw_before_after((left, right), result)

    def describe(self, result: Shifted) -> str:
        return f"From mean {result.before.mean():.2f} to mean {abs(result.after.mean()):.2f}."


class ToyLive(Toy, Live[Shifted]):
    pass


class ToySweep(Toy, Sweep[Shifted]):
    pass


class Waiting(Toy, Live[Shifted]):
    """Its mean has no effect while the steps are at 0."""

    title = "Shift a batch later"
    controls = (*Toy.controls, Slider("steps", "steps", [0, 1, 2], 0))


class Raising(Toy, Live[Shifted]):
    title = "Shift a batch too far"

    def compute(self, mean: float, mode: str) -> Shifted:
        if mean > 0:
            raise ArithmeticError(f"planted at mean {mean}")
        return super().compute(mean, mode)


class Numb:
    """Its mode does nothing."""

    title = "Shift a batch in one mode"

    def compute(self, mean: float, mode: str) -> Shifted:
        return Toy().compute(mean, "centre" if mode else mode)


class NumbLive(Numb, ToyLive):
    pass


class NumbSweep(Numb, ToySweep):
    pass


class Stuck(ToyLive):
    """Its reset does nothing."""

    title = "Shift a batch and leave it"

    def reset(self) -> None:
        pass


class Blank:
    title = "Shift a batch in the dark"

    def draw(self, figure: Figure, result: Shifted) -> BeforeAfterArtists:
        artists = super().draw(figure, result)  # type: ignore[misc]
        for artist in figure.findobj():
            artist.set_visible(artist is figure.patch)
        return artists


class BlankLive(Blank, ToyLive):
    pass


class BlankSweep(Blank, ToySweep):
    pass
