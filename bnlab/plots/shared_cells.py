"""A whole tensor, cell by cell: which cells share a statistic, and where they lie in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path
from matplotlib.text import Text
from torch import Tensor

LIT, DARK, DIM, EDGE = "#0072B2", "#00344F", "#ECECEC", "#A8A8A8"

# Everything is placed in points, from the top left corner.
WIDTH, HEIGHT = 619.0, 404.0
LEFT, TOP = 48.0, 34.0  # corner of the first sample's slab
PANEL, SLAB, GAP = 100.0, 76.0, 6.0  # width of a channel, height of a sample, space between samples
MEMORY, LINE, CELL = 318.0, 24.0, 18.0  # where memory begins, its line pitch, its cells' height


class SharedCells(Protocol):
    """A tensor, and which of its cells go into one statistic."""

    @property
    def values(self) -> Tensor: ...
    @property
    def names(self) -> str: ...  # one letter a dimension, for example "NCHW"
    @property
    def channel(self) -> int: ...
    @property
    def shared(self) -> Tensor: ...  # bool, where the cells of the statistic are
    @property
    def address(self) -> Tensor: ...  # int, place of each cell in memory
    @property
    def order(self) -> str: ...  # the dimensions as memory runs through them
    @property
    def mean(self) -> float: ...
    @property
    def var(self) -> float: ...


def squares(corners: np.ndarray, width: float, height: float) -> Path:
    """One path of many rectangles with these top left corners, shape `(cells, 2)`."""
    around = np.array([[0, 0], [width, 0], [width, height], [0, height], [0, 0]])
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    points = corners.reshape(-1, 1, 2) + around
    return Path(points.reshape(-1, 2), np.tile(codes, len(points)))


def tensor_corners(shape: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """Top left corner of each cell, shape `(cells, 2)`, and the cells' size: a row a sample."""
    n, channels, *space = shape
    depth, height, width = [1] * (3 - len(space)) + space
    # Deeper slices stand behind: further up and a little to the right.
    across, down = width + 0.6 * (depth - 1), depth * (height + 0.4) - 0.4
    size = min(19.0, 74 / across, 58 / down)
    sample, channel, d, h, w = np.indices((n, channels, depth, height, width)).reshape(5, -1)
    x = LEFT + 18 + PANEL * channel + size * (w + 0.6 * d)
    top = TOP + 44 - size * down / 2
    y = top + (SLAB + GAP) * sample + size * (h + (depth - 1 - d) * (height + 0.4))
    return np.stack([x, y], axis=1), size


def memory_corners(address: np.ndarray, samples: int) -> tuple[np.ndarray, float]:
    """Top left corner of each address, shape `(cells, 2)`, and the cells' width."""
    per_sample = address.size // samples
    width = min(18.0, (WIDTH - LEFT - 12) / per_sample)
    line, place = np.divmod(address, per_sample)
    return np.stack([LEFT + width * place, MEMORY + LINE * line], axis=1), width


@dataclass
class SharedCellsArtists:
    """The tensor above, its memory below; every cell, those that share a statistic, and words."""

    cells: PathPatch
    lit: PathPatch
    digits: list[Text]
    memory: PathPatch
    memory_lit: PathPatch
    memory_digits: list[Text]
    column: FancyBboxPatch
    axis_names: list[Text]
    count: Text
    statistics: Text
    heading: Text

    def update(self, result: SharedCells) -> None:
        """Light the cells of `result`, in the tensor and in memory."""
        shape, lit = tuple(result.values.shape), result.shared.flatten().numpy()
        words = [f"{value:.0f}" for value in result.values[result.shared].tolist()]

        corners, size = tensor_corners(shape)
        _cut(self.cells, corners, size, size)
        _cut(self.lit, corners[lit], size, size)
        _place(self.digits, corners[lit] + size / 2, words, 0.68 * size)

        address = result.address.flatten().numpy()
        places, width = memory_corners(address, shape[0])
        _cut(self.memory, places, width, CELL)
        _cut(self.memory_lit, places[lit], width, CELL)
        centres = places[lit] + [width / 2, CELL / 2]
        _place(self.memory_digits, centres, words, min(12.0, 0.85 * width))

        self.column.set_x(LEFT + 2 + PANEL * result.channel)
        self._name_axes(result.names[2:], corners[0, 0], corners[0, 1], size)
        self._write(result, shape, int(lit.sum()))

    def _name_axes(self, space: str, x: float, y: float, size: float) -> None:
        """Write the names of the dimensions in space around the first sample's first channel."""
        for name in self.axis_names:
            name.set_visible(False)
        across, down, behind = self.axis_names
        if space:
            across.set(text=f"{space[-1]} →", x=x + size / 2, y=y - 7, visible=True)
        if "H" in space:
            down.set(text="H\n↓", x=x - 8, y=y + size, visible=True)
        if "D" in space:
            behind.set(text="D ↗", x=x + 4.5 * size, y=y - 0.2 * size, visible=True)
            across.set(x=x + 1.1 * size, y=TOP + 8)

    def _write(self, result: SharedCells, shape: tuple[int, ...], count: int) -> None:
        letters = result.names[0] + result.names[2:]
        sizes = [str(shape[0]), *(str(size) for size in shape[2:])]
        product = f"{'·'.join(letters)} = {'·'.join(sizes)}" if len(sizes) > 1 else "N"
        self.count.set_text(f"{product}\n= {count} cells share")
        self.statistics.set_text(f"mean {result.mean:.2f}\nvar   {result.var:.2f}")
        last = result.values.numel() - 1
        self.heading.set_text(f"Memory, {result.order} order: addresses 0 to {last}")


def _cut(patch: PathPatch, corners: np.ndarray, width: float, height: float) -> None:
    patch.set_path(squares(corners, width, height))
    patch.stale = True  # which `set_path` leaves undone


def _place(texts: list[Text], centres: np.ndarray, words: list[str], size: float) -> None:
    for text in texts[len(words) :]:
        text.set_visible(False)
    for text, (x, y), word in zip(texts, centres, words, strict=False):
        text.set(x=x, y=y, text=word, fontsize=round(size, 1), visible=True)


def draw_shared_cells(ax: Axes, result: SharedCells, *, most: int = 64) -> SharedCellsArtists:
    """Draw a tensor of shape `(N, C, ...)` with a row of grids a sample, and its memory below.

    Args:
        ax: fills the whole figure of 8.6 by 5.6 inches.
        result: a tensor with single-digit values; N and C stay the same from result to result.
        most: the largest number of cells that share a statistic in any result.
    """
    ax.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    ax.set_axis_off()
    samples, channels = result.values.shape[:2]
    _draw_slabs(ax, samples, channels)
    middle: dict[str, Any] = {"ha": "center", "va": "center"}

    def patch(style: Mapping[str, object]) -> PathPatch:
        patch = PathPatch(squares(np.zeros((1, 2)), 1, 1), **style)
        ax.add_patch(patch)
        return patch

    def digits() -> list[Text]:
        style = middle | {"color": "white", "weight": "bold", "zorder": 4}
        return [ax.text(0, 0, "", **style) for _ in range(most)]

    dim = {"facecolor": DIM, "edgecolor": EDGE, "linewidth": 0.7}
    lit = {"facecolor": LIT, "edgecolor": DARK, "linewidth": 1.8, "zorder": 3}
    column = FancyBboxPatch(
        (0, 6), PANEL - 4, TOP + samples * (SLAB + GAP) - 6, boxstyle="round,pad=0,rounding_size=7",
        facecolor="none", edgecolor=DARK, linewidth=2.2, linestyle=(0, (4, 2)), zorder=5,
    )  # fmt: skip
    ax.add_patch(column)
    right = LEFT + channels * PANEL + 16
    artists = SharedCellsArtists(
        cells=patch(dim),
        lit=patch(lit),
        digits=digits(),
        memory=patch(dim),
        memory_lit=patch(lit),
        memory_digits=digits(),
        column=column,
        axis_names=[ax.text(0, 0, "", size=11, linespacing=0.9, **middle) for _ in range(3)],
        count=ax.text(right, TOP + 6, "", size=14, va="top", linespacing=1.5),
        statistics=ax.text(
            right, TOP + 68, "", size=19, va="top", weight="bold", color=LIT, linespacing=1.5
        ),
        heading=ax.text(LEFT, MEMORY - 12, "", size=14, va="center"),
    )
    once = "Each channel has\nits own mean and\nits own variance."
    ax.text(right, TOP + 150, once, size=13, va="top", linespacing=1.5)
    artists.update(result)
    return artists


def _draw_slabs(ax: Axes, samples: int, channels: int) -> None:
    for n in range(samples):
        y = TOP + n * (SLAB + GAP)
        for shift, colour in ((3, "#C4C4C4"), (0, "#FFFFFF")):
            slab = FancyBboxPatch(
                (LEFT + shift, y + shift), channels * PANEL, SLAB,
                boxstyle="round,pad=0,rounding_size=4",
                facecolor=colour, edgecolor="#7A7A7A", linewidth=0.8, zorder=0,
            )  # fmt: skip
            ax.add_patch(slab)
        for middle in (y + SLAB / 2, MEMORY + LINE * n + CELL / 2):
            ax.text(LEFT - 6, middle, f"n = {n}", ha="right", va="center", size=12)
    for c in range(channels):
        ax.text(LEFT + PANEL * (c + 0.5), 21, f"c = {c}", ha="center", va="center", size=13)
    ax.text(LEFT - 4, 21, "C →", ha="right", va="center", size=12, weight="bold")
    ax.text(LEFT - 24, TOP + 12, "N ↓", ha="center", va="center", size=12, weight="bold")
