"""One sample among its batch-mates, and what a network answers about it in both modes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle, StepPatch
from matplotlib.text import Text
from torch import Tensor

TRAIN, EVAL = "#D55E00", "#0072B2"
COLUMNS, ROWS, HOLE = 9, 8, 3
"""Thumbnails around a hole for the sample: places for the 63 mates in a batch of 64."""


class Company(Protocol):
    """One sample, the rest of its batch, and the logits it gets; `*_all` over every draw."""

    @property
    def sample(self) -> Tensor: ...
    @property
    def mates(self) -> Tensor: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def train(self) -> Tensor: ...
    @property
    def eval(self) -> Tensor: ...
    @property
    def train_all(self) -> Tensor: ...
    @property
    def eval_all(self) -> Tensor: ...
    @property
    def flipped(self) -> bool: ...


@dataclass
class LogitArtists:
    """Bars for the logits, the highest one marked, and a dash wherever a bar has been."""

    bars: StepPatch
    winner: StepPatch
    mark: Line2D
    ghosts: Line2D
    reading: Text

    def update(self, logits: Tensor, everywhere: Tensor, name: str, note: str) -> None:
        """Show `logits`, and dashes at `everywhere` (one row a draw)."""
        best = int(logits.argmax())
        highest = torch.full_like(logits, torch.nan)
        highest[best] = logits[best]
        self.bars.set_data(_bars(logits).numpy())
        self.winner.set_data(_bars(highest).numpy())
        self.mark.set_data([best], [max(logits[best].item(), 0)])
        self.ghosts.set_data(*_dashes(everywhere))
        self.reading.set_text(f"reads {name}{note}")


@dataclass
class BatchMatesArtists:
    """The mates' thumbnails and two panels of logits."""

    mates: AxesImage
    sample: AxesImage
    frame: Rectangle
    train: LogitArtists
    eval: LogitArtists

    def update(self, result: Company) -> None:
        """Show another batch around the same sample."""
        self.mates.set_data(around(result.mates).numpy())
        # The sheet of mates is opaque, so what lies in its hole has to move with it, on top.
        self.sample.set_data(result.sample.numpy())
        self.frame.set_linewidth(4)
        name = result.classes[int(result.train.argmax())]
        note = "  ≠ eval mode" if result.flipped else ""
        self.train.update(result.train, result.train_all, name, note)
        name = result.classes[int(result.eval.argmax())]
        self.eval.update(result.eval, result.eval_all, name, "")


def draw_batch_mates(
    axes: tuple[Axes, Axes, Axes], result: Company, *, limits: tuple[float, float]
) -> BatchMatesArtists:
    """Draw a sample large with its batch-mates around it, and its logits in both modes.

    Args:
        axes: for the batch, the logits in train mode, the logits in eval mode.
        result: the sample as a picture (H, W), mates as pictures (n - 1, H, W), at most 63, and
            the logits of the sample alone.
        limits: lowest and highest logit on the axes, which both panels share.
    """
    batch, train, evaluated = axes
    batch.set(
        xlim=(0, COLUMNS), ylim=(ROWS, 0), aspect="equal", title="The batch, the digit framed"
    )
    batch.axis("off")
    left, top = _hole()
    inside = (left + 0.1, left + HOLE - 0.1, top + HOLE - 0.1, top + 0.1)
    shades: dict[str, Any] = {"cmap": "gray_r", "vmin": 0, "vmax": 1, "interpolation": "none"}
    mates = batch.imshow(around(result.mates).numpy(), extent=(0, COLUMNS, ROWS, 0), **shades)
    sample = batch.imshow(result.sample.numpy(), extent=inside, zorder=3, **shades)
    frame = Rectangle((inside[0], inside[3]), HOLE - 0.2, HOLE - 0.2, fill=False, linewidth=4)
    batch.add_patch(frame).set_zorder(4)
    batch.set(xlim=(0, COLUMNS), ylim=(ROWS, 0), anchor="NW")
    panels = [
        _draw_logits(train, "Train mode", TRAIN, result.classes, limits),
        _draw_logits(evaluated, "Eval mode", EVAL, result.classes, limits),
    ]
    train.set_ylabel("logit")
    evaluated.tick_params(labelleft=False)
    artists = BatchMatesArtists(mates, sample, frame, panels[0], panels[1])
    artists.update(result)
    return artists


def _draw_logits(
    ax: Axes, title: str, colour: str, classes: tuple[str, ...], limits: tuple[float, float]
) -> LogitArtists:
    low, high = limits
    room = 0.2 * (high - low)
    count = len(classes)
    ax.set(title=title, xlabel="class", xlim=(-0.7, count - 0.3), ylim=(low - 0.5, high + room))
    ax.set_xticks(range(count), classes)
    ax.grid(False, axis="x")
    ax.axhline(0, color="black", linewidth=0.8)
    edges = torch.stack((torch.arange(count) - 0.36, torch.arange(count) + 0.36), 1).flatten()
    nothing = torch.full((2 * count - 1,), torch.nan).numpy()
    bars = ax.stairs(nothing, edges.numpy(), fill=True, color=colour, alpha=0.4)
    winner = ax.stairs(nothing, edges.numpy(), fill=True, color=colour)
    ghosts = Line2D([], [], linewidth=1.1, color="black", alpha=0.4)
    mark = Line2D([], [], linestyle="", marker=7, markersize=11, color="black")
    mark.set_markeredgewidth(0)
    ax.add_line(ghosts)
    ax.add_line(mark)
    reading = ax.text(0.02, 0.98, "", transform=ax.transAxes, va="top", size=15, weight="bold")
    reading.set_color(colour)
    return LogitArtists(bars, winner, mark, ghosts, reading)


def _bars(heights: Tensor) -> Tensor:
    """Steps with a gap after each bar, as `stairs` takes them."""
    gaps = torch.full_like(heights, torch.nan)
    return torch.stack((heights, gaps), 1).flatten()[:-1]


def _dashes(everywhere: Tensor) -> tuple[list[float], list[float]]:
    """One short level line for each value of each class, as one line with gaps."""
    x, y = [], []
    for place, values in enumerate(everywhere.T):
        for value in values.unique().tolist():
            x += [place - 0.45, place + 0.45, torch.nan]
            y += [value, value, torch.nan]
    return x, y


def _hole() -> tuple[int, int]:
    return (COLUMNS - HOLE) // 2, (ROWS - HOLE) // 2


def around(mates: Tensor) -> Tensor:
    """Lay pictures out around the hole, the first ones nearest to it.

    Args:
        mates: pictures (n, H, W) with values from 0 to 1; at most 63.

    Raises:
        ValueError: there are more pictures than places.
    """
    left, top = _hole()
    middle = torch.tensor([top + (HOLE - 1) / 2, left + (HOLE - 1) / 2])
    places = torch.cartesian_prod(torch.arange(ROWS), torch.arange(COLUMNS))
    outside = (places - middle).abs().amax(1) > HOLE / 2
    places = places[outside]
    if len(mates) > len(places):
        raise ValueError(f"there are {len(mates)} mates and {len(places)} places: show fewer")
    order = (places - middle).square().sum(1).argsort(stable=True)
    height, width = mates.shape[1] + 2, mates.shape[2] + 2
    sheet = torch.zeros(ROWS, height, COLUMNS, width)
    for (row, column), mate in zip(places[order].tolist(), mates, strict=False):
        # Five greys do for a thumbnail, and a page holds many; a rim tells neighbours apart.
        greys = (4 * mate).round() / 4
        sheet[row, :, column] = torch.nn.functional.pad(greys, (1, 1, 1, 1), value=0.25)
    return sheet.view(ROWS * height, COLUMNS * width)
