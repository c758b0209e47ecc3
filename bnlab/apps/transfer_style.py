"""One photograph in the colours of another: channel statistics carried over."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Choice, Slider, Value
from bnlab.apps.sweep import Sweep
from bnlab.functional import moments, normalize
from bnlab.plots.photographs import TransferArtists, draw_transfer


@dataclass(frozen=True)
class Transfer:
    """A photograph, another one, and the first with statistics on the way to the other's."""

    content: Tensor
    style: Tensor
    output: Tensor
    strength: int

    @property
    def distance(self) -> float:
        """How far the output's channel means and spreads are from the style's, at most."""
        gaps = [
            (one - other).abs().max().item()
            for one, other in zip(
                _mean_and_spread(self.output), _mean_and_spread(self.style), strict=True
            )
        ]
        return max(gaps)


def _mean_and_spread(photograph: Tensor) -> tuple[Tensor, Tensor]:
    mean, var = moments(photograph, dim=(1, 2))
    return mean, var.sqrt()


class TransferStyle(Sweep[Transfer]):
    """Give one photograph the channel statistics of another, little by little.

    Args:
        photographs: two pictures, `(2, 3, H, W)`.
        names: what to call them.
        **start: values to start from.
    """

    title = "Instance normalisation, then another picture's mean and spread"
    size = (9.4, 4.6)

    def __init__(self, photographs: Tensor, names: tuple[str, str], **start: Value) -> None:
        self.photographs, self.names = photographs, names
        self.controls = (
            Slider("strength", "strength", [0, 25, 50, 75, 100], 100, "%"),
            Choice("content", "content", list(names), names[0]),
        )
        super().__init__(**start)

    def compute(self, strength: int, content: str) -> Transfer:
        at = self.names.index(content)
        picture, style = self.photographs[at], self.photographs[1 - at]
        mean, spread = _mean_and_spread(style)
        dressed = normalize(picture, *moments(picture, dim=(1, 2)), weight=spread, bias=mean)
        share = strength / 100
        return Transfer(picture, style, (1 - share) * picture + share * dressed, strength)

    def draw(self, figure: Figure, result: Transfer) -> TransferArtists:
        axes = figure.subplots(2, 3, height_ratios=(1.45, 1))
        return draw_transfer(axes[0], axes[1], result)

    def describe(self, result: Transfer) -> str:
        return (
            f"Strength {result.strength} %: means and spreads of the output's channels are within "
            f"{result.distance:.2f} of the style's."
        )
